// Probes what a store can do, by requests below a prefix of their own.
import { randomUUID } from 'node:crypto';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../object-info.ts';
import { PROBES } from '../object-key.ts';
import type { ObjectStore } from '../object-store.ts';
import type { Capability, CapabilityName, Finding, Probe } from './capability.ts';
import { CAPABILITIES } from './capability.ts';
import { tryChecksum, tryContentMd5, tryCreateOnlyParts } from './probe-parts.ts';

export interface ProbeOptions extends CallOptions {
  /** Which to probe; all if left out. */
  only?: readonly CapabilityName[];
}

const RACE_ROUNDS = 3;
const RACERS = 16;

/**
 * Runs the probes side by side, a few dozen small requests; returns their results in the order of
 * CAPABILITIES. With credentials that may not delete, a probe that would leave an object is skipped.
 * @throws what the first write throws if the store cannot be used at all
 */
export async function probeCapabilities(
  store: ObjectStore,
  { only = CAPABILITIES, signal }: ProbeOptions = {},
): Promise<Capability[]> {
  const folder = `${PROBES}${randomUUID()}/`;
  const leavesNothing = await mayRemove(store, `${folder}none`, { signal });
  try {
    if (leavesNothing) await store.create(`${folder}first`, Buffer.from(folder), { signal });
    const names = CAPABILITIES.filter((each) => only.includes(each));
    const probe = { store, folder, signal };
    return await allOf(
      names.map(async (name) => ({
        name,
        ...(leavesNothing || WITHOUT_OBJECTS.includes(name)
          ? await tryOne(PROBERS[name], probe)
          : UNTRIED),
      })),
    );
  } finally {
    // Whatever the signal: leftover objects would stay for all clients.
    if (leavesNothing) await removeFolder(store, folder);
  }
}

/** The probes that only start uploads and abort them, so they create no object. */
const WITHOUT_OBJECTS: readonly CapabilityName[] = ['content-md5', 'checksum'];

const UNTRIED: Finding = {
  supported: null,
  detail: 'not tried: these credentials may not delete what the probe would write',
};

/** NOTE: S3 answers the removal of a missing object with success, or with a denial. */
export async function mayRemove(
  store: ObjectStore,
  key: string,
  options: CallOptions,
): Promise<boolean> {
  try {
    await store.remove([key], options);
    return true;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'REGISTRY' && !error.retryable)
      return false;
    throw error;
  }
}

const PROBERS: Readonly<Record<CapabilityName, (probe: Probe) => Promise<Finding>>> = {
  'create-only': tryCreateOnly,
  'create-only-parts': tryCreateOnlyParts,
  'content-md5': tryContentMd5,
  checksum: tryChecksum,
  'part-copy': tryPartCopy,
  presigned: tryPresigned,
};

async function tryOne(prober: (probe: Probe) => Promise<Finding>, probe: Probe): Promise<Finding> {
  try {
    return await prober(probe);
  } catch (error) {
    if (error instanceof PublishError && error.code === 'INTERRUPTED') throw error;
    return { supported: null, detail: `could not be tried: ${messageOf(error)}` };
  }
}

// NOTE: a race and not two writes one after the other: Swift's s3api refuses the second of two
// writers in a row, but lets several concurrent writers win. The rounds run one after the other: with
// TLS each round reuses the connections of the last one, which are the largest cost here.
async function tryCreateOnly({ store, folder, signal }: Probe): Promise<Finding> {
  for (let round = 1; round <= RACE_ROUNDS; round += 1) {
    const key = `${folder}race-${round}`;
    const bodies = Array.from({ length: RACERS }, () => Buffer.from(randomUUID()));
    const won = await allOf(bodies.map((body) => creates(store, key, body, signal)));
    const winners = bodies.filter((_, index) => won[index]);
    const there = await store.read(key, { signal });
    const kept = winners[0] !== undefined && there !== undefined && winners[0].equals(there);
    if (winners.length === 1 && kept) continue;
    const detail =
      `${winners.length} of ${RACERS} writers of one key got the answer that they created it: ` +
      'let only one client write to this registry at a time';
    return { supported: false, detail };
  }
  return { supported: true, detail: `of ${RACERS} writers of one key exactly one created it` };
}

/** Waits for all of them, also after a failure: none may still write when the folder is removed. */
async function allOf<T>(tries: readonly Promise<T>[]): Promise<T[]> {
  await Promise.allSettled(tries);
  return Promise.all(tries);
}

async function creates(
  store: ObjectStore,
  key: string,
  body: Uint8Array,
  signal: AbortSignal | undefined,
): Promise<boolean> {
  try {
    await store.create(key, body, { signal });
    return true;
  } catch (error) {
    if (error instanceof PublishError && error.code === 'PRECONDITION_LOST') return false;
    throw error;
  }
}

async function tryPartCopy({ store, folder, signal }: Probe): Promise<Finding> {
  const { location } = store;
  if (location === undefined) return { supported: null, detail: 'not needed in a directory' };
  const size = Buffer.byteLength(folder);
  const upload = await store.startUpload(`${folder}copied`, { signal });
  try {
    const origin = { location, key: `${folder}first`, start: 1, end: size, etag: null };
    const part = await upload.copyPart?.(1, origin, { signal });
    if (part !== undefined) await upload.complete([part], { signal });
  } catch (error) {
    if (!(error instanceof PublishError && error.code === 'UPLOAD')) throw error;
    return { supported: false, detail: `"copy" sends the data: ${messageOf(error)}` };
  } finally {
    await upload.abort();
  }
  const copied = await store.read(upload.key, { signal });
  if (copied !== undefined && Buffer.from(folder.slice(1)).equals(copied))
    return { supported: true, detail: 'the server copies between registries by itself' };
  return {
    supported: false,
    detail: 'what the server copied is not the same: "copy" sends the data',
  };
}

async function tryPresigned({ store, folder, signal }: Probe): Promise<Finding> {
  const link = await store.presign?.(`${folder}first`, { expiresSeconds: 60, signal });
  const answer = link === undefined ? undefined : await store.followLink?.(link, { signal });
  if (link === undefined || answer === undefined)
    return { supported: null, detail: 'no links into this registry' };
  const isRight = answer.status === 200 && Buffer.from(folder).equals(answer.body);
  if (!isRight) return { supported: false, detail: `a link is answered with ${answer.status}` };
  const forged = new URL(link);
  const signature = forged.searchParams.get('X-Amz-Signature') ?? '';
  forged.searchParams.set('X-Amz-Signature', '0'.repeat(signature.length));
  const second = await store.followLink?.(forged.href, { signal });
  if (second?.status !== 200)
    return { supported: true, detail: 'links work, and a forged one is refused' };
  return {
    supported: false,
    detail: 'a forged link is answered too: this bucket is public',
  };
}

async function removeFolder(store: ObjectStore, folder: string): Promise<void> {
  const keys: string[] = [];
  for await (const { key } of store.list(folder)) keys.push(key);
  await store.remove(keys);
}
