// The frame of the threads that write an image: they open the layers and the file, and post an answer.
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

/** `bytes` is the progress: of the file, or of the data if it is compressed. */
export type ImageAnswer =
  | { kind: 'bytes'; bytes: number }
  | { kind: 'done'; digests: Record<string, string> }
  | { kind: 'failed'; message: string; code: string | undefined };

/** The image's file. */
export interface Target {
  /** `piece` begins at a page, and `at` is a multiple of 64 KiB. */
  write(piece: Buffer, at: number): Promise<void>;
  /** For small pieces that lie anywhere in memory. */
  writeSmall(piece: Buffer, at: number): Promise<void>;
}

/** The bytes of the written file, and its digests in hex as far as they were computed. */
export interface Written {
  size: number;
  digests: Record<string, string>;
}

/** Opens the layers and the file, calls `write`, and posts the answer when the file is on the disk. */
export async function answer(
  work: ImageWork,
  write: (chain: ChainReader, target: Target) => Promise<Written>,
): Promise<void> {
  post(await attempt(work, write));
}

export function post(answer: ImageAnswer): void {
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

/** Returns a target that writes through the page cache if the file system has no O_DIRECT. */
function targetOf(file: FileHandle, direct: DirectTarget | undefined): Target {
  const writeSmall = (piece: Buffer, at: number) => writeAll(file, piece, at);
  const write = (piece: Buffer, at: number) => direct?.write(piece, at) ?? writeSmall(piece, at);
  return { write, writeSmall };
}
