// A hundred seeded schedules of faults: each publish ends in an active image that verifies, or in none.
import { createHash, randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, expect, test } from 'vitest';
import { Registry } from '#built/registry/registry.js';
import { openStore } from '#built/store/open-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { startFaultyProxy } from '../support/faulty-proxy.ts';
import { makeFolder } from '../support/folders.ts';
import { lab } from '../support/lab.ts';
import { createBucket, s3Env } from '../support/s3.ts';
import { judge, type Outcome } from './s3-outcome.ts';
import { makeSchedule } from './s3-schedule.ts';

const MIB = 1024 ** 2;
// Ninety here, ten more with the command itself. One of them again: VIRT_PUBLISH_TEST_SEED=79
const ONE = process.env.VIRT_PUBLISH_TEST_SEED;
const SEEDS = ONE === undefined ? Array.from({ length: 90 }, (_, at) => at + 1) : [Number(ONE)];
const SIZES = [8 * MIB + 5, 3 * MIB, 0];
const LIMIT_MS = 1000;

let bucket: string;
const files: { path: string; sha256: string }[] = [];
beforeAll(async () => {
  const { AWS_ENDPOINT_URL_S3: _, ...env } = s3Env();
  Object.assign(process.env, env);
  bucket = await createBucket();
  const folder = await makeFolder('vp-test-s3-faults');
  for (const size of SIZES) {
    const bytes = randomBytes(size);
    const path = join(folder, `image-${size}`);
    await writeFile(path, bytes);
    files.push({ path, sha256: createHash('sha256').update(bytes).digest('hex') });
  }
});

const table: string[] = [];
afterAll(() => {
  process.stdout.write(`${table.join('\n')}\n`);
});

/** A registry whose parts have one MiB, so that a few MiB make many of them. */
async function openTinyParts(endpoint: string): Promise<Registry> {
  const s3 = { endpoint, region: lab().s3.region };
  const times = { requestMs: LIMIT_MS, partMs: LIMIT_MS };
  const store = await openStore(`s3://${bucket}`, { s3, ...times });
  Object.assign(store, { limits: { ...store.limits, minPartBytes: 1 } });
  return new Registry(store, {
    ...{ partSizeMib: 1, concurrency: 4, partMs: LIMIT_MS },
    ...{ retries: 4, retryMinMs: 1, retryMaxMs: 8 },
  });
}

async function publish(registry: Registry, id: string, path: string): Promise<void> {
  await registry.queueImage({ id, name: 'faulty', disk_format: 'raw' });
  try {
    await registry.markSaving(id);
    const { size, digests } = await registry.uploadData(id, 'vda.raw', await fileSource(path));
    const artefact = await registry.putArtefact(id, 'domain.xml', '<domain/>');
    const data = { name: 'vda.raw', size, sha256: digests.sha256 };
    await registry.activateImage(id, { data, artefacts: [artefact] });
  } catch (error) {
    // As a run does: what could not be marked is found by its status, which is not `active`.
    await registry.killImage(id, String(error)).catch(() => undefined);
    throw error;
  }
  await registry.setAlias(`faults/${id}`, id);
}

test.concurrent.each(SEEDS)('seed %i', async (seed) => {
  const proxy = await startFaultyProxy(lab().s3.tinyPartsEndpoint);
  const schedule = makeSchedule(seed);
  proxy.fault = schedule.fault;
  const id = randomUUID();
  const { path, sha256 } = files[seed % 7 === 0 ? 2 : seed % 2] ?? { path: '', sha256: '' };
  const started = performance.now();
  const error: unknown = await publish(await openTinyParts(proxy.endpoint), id, path).then(
    () => undefined,
    (reason: unknown) => reason,
  );
  const ms = performance.now() - started;
  await proxy.stop();
  const outcome = await judge({ bucket, id, data: 'vda.raw', sha256, log: proxy.log });
  if (error === undefined) expect(outcome.status).toBe('active');
  else expect(error).toMatchObject({ name: 'PublishError', code: expect.stringMatching(CODES) });
  table.push(row(schedule, outcome, { error, ms, log: proxy.log }));
});

const CODES = /^(UPLOAD|INTEGRITY|PRECONDITION_LOST|REGISTRY|IMAGE_STATUS)$/;

function row(
  { seed, percent }: { seed: number; percent: number },
  { status, leftUploads, leftObject }: Outcome,
  { error, ms, log }: { error: unknown; ms: number; log: readonly { fault: unknown }[] },
): string {
  const faults = log.filter(({ fault }) => fault !== undefined).length;
  return [
    `seed ${String(seed).padStart(3)} ${String(percent).padStart(2)}%`,
    `${String(faults).padStart(3)}/${String(log.length).padEnd(3)} with a fault`,
    `${ms.toFixed(0).padStart(5)} ms`,
    status.padEnd(6),
    error === undefined
      ? 'done'
      : `${(error as { code: string }).code}: ${(error as Error).message.slice(0, 150)}`,
    leftUploads > 0 ? `(${leftUploads} open upload)` : '',
    leftObject ? '(data left)' : '',
  ].join('  ');
}
