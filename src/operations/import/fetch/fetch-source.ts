// Fetches an untrusted URL into a file, decoded, within its bounds of size and time.
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { messageOf, PublishError } from '../../../core/errors.ts';
import { runStep } from '../../../core/events.ts';
import { withTimeLimit } from '../../../core/time-limit.ts';
import { boundsOf, type ImportSettings, reportBytes } from '../import-settings.ts';
import type { Encoding } from './answer-headers.ts';
import { decodeAnswer } from './decode-answer.ts';
import { type Download, openDownload } from './download.ts';
import { tooLarge, writeBounded } from './write-bounded.ts';

export interface FetchedFile {
  path: string;
  names: readonly string[];
  /** Taken off its bytes, the outermost first. */
  encodings: readonly Encoding[];
  /** Digest of the bytes as they were sent; undefined if the file has the same bytes. */
  sentSha256: string | undefined;
}

/** @throws DOWNLOAD, IMAGE_REFUSED, NO_SPACE; the signal's reason */
export function fetchSource(settings: ImportSettings, folder: string): Promise<FetchedFile> {
  const { onEvent, config, signal } = settings;
  const limit = { ms: config.import.downloadMs, signal };
  return runStep(onEvent, 'download', () =>
    withTimeLimit(limit, async (limited) => {
      try {
        return await fetchInto(join(folder, 'fetched'), { ...settings, signal: limited });
      } catch (error) {
        throw downloadError(error, settings, limited);
      }
    }),
  );
}

async function fetchInto(path: string, settings: ImportSettings): Promise<FetchedFile> {
  const { config, maxBytes, allowPrivate, source, signal, format } = settings;
  const idleMs = config.timeouts.requestMs;
  const anyType = format !== undefined;
  const options = { allowPrivate, maxBytes, idleMs, anyType, signal };
  const answer = await openDownload(source, options);
  const sent = new SentBytes(answer, settings);
  const body = decodeAnswer(sent.stream(), { encodings: answer.encodings, maxBytes, signal });
  await writeBounded(body, path, boundsOf(settings, 'download'));
  const { names, encodings } = answer;
  return { path, names, encodings, sentSha256: sent.finish() };
}

/** The bytes while they arrive: counted, and hashed if the file will have other bytes. */
class SentBytes {
  readonly #answer: Download;
  readonly #settings: ImportSettings;
  readonly #hash = createHash('sha256');
  #bytes = 0;

  constructor(answer: Download, settings: ImportSettings) {
    this.#answer = answer;
    this.#settings = settings;
  }

  stream(): Readable {
    return Readable.from(this.#counted(), { objectMode: false });
  }

  /** Returns the digest if one is needed. @throws PublishError DOWNLOAD if bytes are missing */
  finish(): string | undefined {
    const { length } = this.#answer;
    if (length === undefined || length === this.#bytes)
      return this.#isHashed ? this.#hash.digest('hex') : undefined;
    const message = `the download ended after ${this.#bytes} of ${length} bytes`;
    throw new PublishError('DOWNLOAD', message, { step: 'download', retryable: true, hint: AGAIN });
  }

  get #isHashed(): boolean {
    return this.#settings.sha256 !== undefined && this.#answer.encodings.length > 0;
  }

  async *#counted(): AsyncGenerator<Uint8Array> {
    const { body, length = 0 } = this.#answer;
    const { maxBytes } = this.#settings;
    for await (const chunk of body as AsyncIterable<Uint8Array>) {
      this.#bytes += chunk.byteLength;
      if (this.#bytes > maxBytes) throw tooLarge(maxBytes, 'download');
      if (this.#isHashed) this.#hash.update(chunk);
      reportBytes(this.#settings, 'download', this.#bytes, length);
      yield chunk;
    }
  }
}

const AGAIN = 'import it again';

function downloadError(error: unknown, { signal, config }: ImportSettings, both: AbortSignal) {
  if (signal.aborted) return signal.reason;
  const isLate = both.aborted;
  if (error instanceof PublishError && !isLate) return error;
  const late = `it took more than ${config.import.downloadMs / 1000} s`;
  const hint = isLate ? 'raise import.downloadMs' : AGAIN;
  return new PublishError('DOWNLOAD', `the download failed: ${isLate ? late : messageOf(error)}`, {
    ...{ step: 'download', retryable: true, cause: error, hint },
  });
}
