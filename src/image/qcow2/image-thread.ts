// What the threads that write an image have in common: the file, the layers, and how they answer.
import { type FileHandle, open } from 'node:fs/promises';
import { parentPort } from 'node:worker_threads';
import type { DiskData } from '../../domain/chain/extents.ts';
import { OWNERS_ONLY } from '../../host/files/private-file.ts';
import { DirectTarget, writeAll } from '../../host/io/direct-target.ts';
import { ChainReader } from './chain-reader.ts';
import type { LayerFile } from './layer-reader.ts';

export interface ImageWork extends DiskData {
  /** The first one on top. */
  layers: readonly LayerFile[];
  path: string;
  /** The file exists and holds all data behind the tables. */
  isShared: boolean;
}

/** `bytes`: how far it is, each thread by its own measure. */
export type ImageAnswer =
  | { kind: 'bytes'; bytes: number }
  | { kind: 'done'; digests: Record<string, string> }
  | { kind: 'failed'; message: string; code: string | undefined };

/** Where an image goes. */
export interface Target {
  /** The piece begins at a page, and `at` is a multiple of 64 KiB. */
  write(piece: Buffer, at: number): Promise<void>;
  /** For what is small, and lies anywhere in memory. */
  writeSmall(piece: Buffer, at: number): Promise<void>;
}

/** What was written: the bytes of the file, and in hex the digests of it that are known. */
export interface Written {
  size: number;
  digests: Record<string, string>;
}

/** Opens the layers and the file, has `write` do its work, and answers when all is on the disk. */
export async function answer(
  work: ImageWork,
  write: (chain: ChainReader, target: Target) => Promise<Written>,
): Promise<void> {
  tell(await attempt(work, write));
}

export function tell(answer: ImageAnswer): void {
  parentPort?.postMessage(answer);
}

async function attempt(
  { layers, path, isShared }: ImageWork,
  write: Parameters<typeof answer>[1],
): Promise<ImageAnswer> {
  let chain: ChainReader | undefined;
  let file: FileHandle | undefined;
  let direct: DirectTarget | undefined;
  try {
    chain = await ChainReader.open(layers);
    file = await open(path, isShared ? 'r+' : 'w', OWNERS_ONLY);
    direct = await DirectTarget.open(file);
    const { size, digests } = await write(chain, targetOf(file, direct));
    await file.truncate(size);
    await file.datasync();
    return { kind: 'done', digests };
  } catch (error) {
    const { message, code } = error as NodeJS.ErrnoException;
    return { kind: 'failed', message, code };
  } finally {
    await Promise.allSettled([chain, direct, file].map((each) => each?.close()));
  }
}

/** Through the page cache where the file system has no way past it. */
function targetOf(file: FileHandle, direct: DirectTarget | undefined): Target {
  const writeSmall = (piece: Buffer, at: number) => writeAll(file, piece, at);
  const write = (piece: Buffer, at: number) => direct?.write(piece, at) ?? writeSmall(piece, at);
  return { write, writeSmall };
}
