// The parts of one upload on their way: so many at once, each checked, with the digests beside them.
import { eachBounded } from '../../core/bounded.ts';
import { unlessAborted, withDeadline } from '../../core/deadline.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import { isMd5 } from '../../store/etag.ts';
import type { PartCheck, PartInfo, PartUpload } from '../../store/object-store.ts';
import { DigestSet, type Digests } from '../digests/digests.ts';
import { type LoadedPart, PartLoader } from './part-loader.ts';
import { type PartPlan, type PlannedPart, partsOf } from './part-plan.ts';
import { otherBytes, partMs, sendPart } from './send-part.ts';
import type { UploadImageOptions } from './upload-types.ts';

type SendOptions = UploadImageOptions & {
  check: PartCheck;
  /** Parts that are there already, by number. */
  kept: ReadonlyMap<number, PartInfo>;
};

export class PartSender {
  readonly #upload: PartUpload;
  readonly #plan: PartPlan;
  readonly #options: SendOptions;
  /** Without algorithms if the digests are known. */
  readonly #digests: DigestSet;
  readonly #loader: PartLoader;
  /** Stops the parts under way when one has failed for good. */
  readonly #stop = new AbortController();
  #sentBytes = 0;

  constructor(upload: PartUpload, plan: PartPlan, options: SendOptions) {
    this.#upload = upload;
    this.#plan = plan;
    this.#options = options;
    // First: it starts threads, and the host may refuse one.
    this.#digests = new DigestSet(options.digests ? [] : options.algorithms);
    const maxConcurrent = Math.min(options.policy.concurrency, plan.count);
    this.#loader = new PartLoader(options.source.reader(), maxConcurrent, this.#digests);
  }

  /**
   * Sends every part that the store lacks, and compares those that it has. They start in order.
   * @throws the first failure, when none is under way.
   */
  async sendAll(): Promise<PartInfo[]> {
    const { signal, policy } = this.#options;
    const onAbort = () => this.#stop.abort(signal?.reason);
    signal?.addEventListener('abort', onAbort, { once: true });
    if (signal?.aborted) onAbort();
    const parts: PartInfo[] = [];
    try {
      await eachBounded(partsOf(this.#plan), policy.concurrency, async (part) => {
        parts.push(await this.#sendOrStop(part));
      });
    } finally {
      signal?.removeEventListener('abort', onAbort);
    }
    if (this.#options.check === 'crc32c') await this.#confirm(parts);
    return parts.sort((a, b) => a.number - b.number);
  }

  /** The digests of the whole, when all parts were sent. */
  async digests(): Promise<Digests> {
    const { digests: known, signal } = this.#options;
    return known ?? unlessAborted(this.#digests.digests(), signal, 'upload');
  }

  async close(): Promise<void> {
    await this.#digests.close();
    await this.#loader.close();
  }

  async #sendOrStop(part: PlannedPart): Promise<PartInfo> {
    try {
      const loaded = await this.#load(part);
      try {
        const sent = await this.#sendOrKeep(part, loaded);
        await unlessAborted(loaded.hashed, this.#stop.signal, 'upload');
        return sent;
      } finally {
        loaded.release();
      }
    } catch (error) {
      this.#stop.abort(error);
      throw error;
    }
  }

  /** NOTE: a read that hangs (a dead file server) cannot be ended, but is not waited for. */
  #load(part: PlannedPart): Promise<LoadedPart> {
    const { signal } = this.#stop;
    const { number, start, end } = part;
    const ms = partMs(this.#options.policy, end - start);
    const what = `the storage, which part ${number} of the image was read from,`;
    const loading = ignoreRejection(this.#loader.load(part));
    return withDeadline({ what, ms, step: 'upload', signal }, (stop) =>
      unlessAborted(loading, stop, 'upload'),
    );
  }

  /** Compares ETags with those that the store lists: an ETag that is no md5 proves nothing by itself. */
  async #confirm(parts: readonly PartInfo[]): Promise<void> {
    const listed = await this.#upload.listParts({ signal: this.#options.signal });
    const etags = new Map(listed.map(({ number, etag }) => [number, etag]));
    const other = parts.find(({ number, etag }) => etags.get(number) !== etag);
    if (other) throw otherBytes(other);
  }

  async #sendOrKeep(part: PlannedPart, loaded: LoadedPart): Promise<PartInfo> {
    const { kept, policy, check } = this.#options;
    const there = kept.get(part.number);
    const { signal } = this.#stop;
    if (there && (await unlessAborted(isSame(there, part, loaded), signal, 'upload'))) {
      this.#progress(there.size);
      // The end of an upload with checksums names each part's again.
      return check === 'crc32c' ? { ...there, crc32c: loaded.crc32c() } : there;
    }
    const onBytes = (bytes: number) => this.#progress(bytes);
    return sendPart(this.#upload, part, loaded, { policy, check, signal, onBytes });
  }

  #progress(bytes: number): void {
    this.#sentBytes += bytes;
    this.#options.onProgress?.(this.#sentBytes);
  }
}

/** NOTE: an ETag that is no md5 (SSE-KMS) proves nothing about the bytes: the part is sent again. */
async function isSame(
  kept: PartInfo,
  { start, end }: PlannedPart,
  loaded: LoadedPart,
): Promise<boolean> {
  if (kept.size !== end - start) return false;
  if (kept.crc32c !== undefined) return kept.crc32c === loaded.crc32c();
  return !kept.opaqueEtag && isMd5(kept.etag) && kept.etag.toLowerCase() === (await loaded.md5());
}
