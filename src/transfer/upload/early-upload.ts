// Parts of an image that is still being written, sent ahead; the finished file decides which of them count.
import { stat } from 'node:fs/promises';
import { setTimeout as sleep } from 'node:timers/promises';
import { unlessAborted } from '../../core/deadline.ts';
import type { PartCheck, PartInfo, PartUpload } from '../../store/object-store.ts';
import { FileReader } from './file-source.ts';
import { PartLoader } from './part-loader.ts';
import { type PartPlan, type PlannedPart, partAt, planParts } from './part-plan.ts';
import { sendPart } from './send-part.ts';
import { partCheck, type Target, type UploadPolicy } from './upload-image.ts';

/**
 * NOTE: a qcow2 grows at its end, and its writer has 8 writes of 2 MiB under way at most. What lies
 * further back has settled but for its tables, which are written last.
 */
const SETTLED_BEHIND_BYTES = 64 * 1024 * 1024;
const POLL_MS = 50;

export interface EarlyUploadOptions {
  key: string;
  /** The file; it need not be there yet. */
  path: string;
  /** It is written past the page cache. */
  direct: boolean;
  /** What it will have at most, so far as is known: the size of the parts follows from it. */
  expectedBytes: number;
  /** If left out, as the policy says. */
  partsAtOnce?: number | undefined;
  policy: UploadPolicy;
  checksums: boolean;
  signal: AbortSignal;
}

/** What was sent ahead: an open upload, and its parts as they were when they were read. */
export interface EarlyParts {
  upload: PartUpload;
  parts: ReadonlyMap<number, PartInfo>;
  /** Bytes. */
  partSize: number;
}

/**
 * Starts an upload of `key` and sends what has settled of the file. A part that fails is only not
 * sent ahead; the upload itself tells what is wrong with the store.
 * @throws UPLOAD, REGISTRY where the upload cannot be started.
 */
export async function startEarlyUpload(
  store: Target,
  options: EarlyUploadOptions,
): Promise<EarlyUpload> {
  const { key, expectedBytes, policy, checksums, signal } = options;
  const plan = planParts(expectedBytes, policy.partSizeMib * 1024 * 1024, store.limits);
  const check = partCheck(store, checksums);
  const upload = await store.startUpload(key, { check, signal });
  return new EarlyUpload(upload, plan, { ...options, check });
}

export class EarlyUpload {
  readonly #upload: PartUpload;
  readonly #plan: PartPlan;
  readonly #options: EarlyUploadOptions & { check: PartCheck };
  readonly #loader: PartLoader;
  readonly #parts = new Map<number, PartInfo>();
  readonly #lanes: Promise<void>[];
  #next = 1;
  #isOver = false;

  constructor(
    upload: PartUpload,
    plan: PartPlan,
    options: EarlyUploadOptions & { check: PartCheck },
  ) {
    this.#upload = upload;
    this.#plan = plan;
    this.#options = options;
    const { path, direct, policy, partsAtOnce = policy.concurrency } = options;
    const atOnce = Math.min(partsAtOnce, policy.concurrency, plan.count);
    this.#loader = new PartLoader(new FileReader(path, direct), atOnce);
    this.#lanes = Array.from({ length: atOnce }, () => this.#lane());
  }

  /** Starts nothing more and waits for what is under way. The upload stays open. */
  async finish(): Promise<EarlyParts> {
    this.#isOver = true;
    await Promise.all(this.#lanes);
    await this.#loader.close();
    return { upload: this.#upload, parts: this.#parts, partSize: this.#plan.partSize };
  }

  async #lane(): Promise<void> {
    for (;;) {
      const part = await this.#nextSettled();
      if (part === undefined || !(await this.#send(part))) return;
    }
  }

  /** Undefined when there is nothing more to be sent ahead. */
  async #nextSettled(): Promise<PlannedPart | undefined> {
    if (this.#next > this.#plan.count) return undefined;
    const part = partAt(this.#plan, this.#next);
    this.#next += 1;
    while (!this.#isOver && !this.#options.signal.aborted) {
      const settled = (await sizeOf(this.#options.path)) - SETTLED_BEHIND_BYTES;
      if (settled >= part.end) return part;
      await sleep(POLL_MS);
    }
    return undefined;
  }

  async #send(part: PlannedPart): Promise<boolean> {
    const { policy, check, signal } = this.#options;
    try {
      const loaded = await unlessAborted(this.#loader.load(part), signal, 'upload');
      try {
        const how = { policy: { ...policy, retries: 0 }, check, signal, onBytes: () => undefined };
        this.#parts.set(part.number, await sendPart(this.#upload, part, loaded, how));
      } finally {
        loaded.release();
      }
      return true;
    } catch {
      // Sent again with all the others, and what is wrong is raised there.
      return false;
    }
  }
}

/** 0 where it is not there yet. */
async function sizeOf(path: string): Promise<number> {
  try {
    return (await stat(path)).size;
  } catch {
    return 0;
  }
}
