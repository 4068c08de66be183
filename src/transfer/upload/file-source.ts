// A file as the source of an upload.
import type { BigIntStats } from 'node:fs';
import { stat } from 'node:fs/promises';
import { messageOf, PublishError } from '../../core/errors.ts';
import { DirectFile } from '../../host/io/direct-file.ts';
import type { ImageSource, RangeReader } from '../../host/io/image-source.ts';
import { isCold } from '../../host/io/is-cold.ts';

/**
 * `direct`: whether it is read past the page cache; if left out, if it is not in the cache.
 * @throws UPLOAD if the file is missing or is no regular file
 */
export async function fileSource(
  path: string,
  { direct }: { direct?: boolean } = {},
): Promise<ImageSource> {
  const before = await fileFacts(path);
  const size = Number(before.size);
  const isDirect = direct ?? (await isCold(path, size));
  const checkUnchanged = async () => {
    const now = await fileFacts(path);
    if (IDENTITY.every((field) => now[field] === before[field])) return;
    const message = `the image file ${path} was changed while it was read`;
    const hint = 'publish it again when no process writes to it';
    throw new PublishError('INTEGRITY', message, { step: 'upload', hint });
  };
  return { size, reader: () => new FileReader(path, isDirect), checkUnchanged };
}

/** Reads a file, which is opened at the first read. */
export class FileReader implements RangeReader {
  readonly #path: string;
  readonly #direct: boolean;
  #file: Promise<DirectFile> | undefined;
  #isClosed = false;

  constructor(path: string, direct: boolean) {
    this.#path = path;
    this.#direct = direct;
  }

  async read(memory: Uint8Array, start: number, end: number): Promise<number> {
    try {
      if (this.#isClosed) throw new Error('it was closed');
      this.#file ??= DirectFile.open(this.#path, { direct: this.#direct });
      return await (await this.#file).read(memory, start, end);
    } catch (error) {
      throw unreadable(this.#path, error);
    }
  }

  async close(): Promise<void> {
    this.#isClosed = true;
    // NOTE: a read that hangs (a dead file server) holds its file; close does not wait for it.
    this.#file?.then((file) => file.close()).catch(() => undefined);
  }
}

const IDENTITY = ['dev', 'ino', 'size', 'mtimeNs'] as const;

async function fileFacts(path: string): Promise<BigIntStats> {
  try {
    const facts = await stat(path, { bigint: true });
    if (facts.isFile()) return facts;
  } catch (error) {
    throw unreadable(path, error);
  }
  throw new PublishError('UPLOAD', `${path} is no regular file`, { step: 'upload' });
}

function unreadable(path: string, error: unknown): PublishError {
  const message = `the image file ${path} cannot be read: ${messageOf(error)}`;
  return new PublishError('UPLOAD', message, { step: 'upload', cause: error });
}
