// Whether a new image is written past the page cache: tried in its folder.
import { randomUUID } from 'node:crypto';
import { constants } from 'node:fs';
import { open, unlink } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Compression } from '../core/model.ts';
import type { CacheMode } from './qemu-img-args.ts';

/**
 * Past the page cache where the file system takes O_DIRECT (tmpfs of older kernels and some FUSE
 * file systems do not): an image is written once, and as many pages as it has bytes would push out
 * what the guests of this host need. On a virtual host it was five times as fast.
 *
 * NOTE: compressed clusters have any length: past the page cache each is a read, a change and a
 * write of its blocks, and the processor is what it waits for anyway.
 */
export async function cacheModeFor(path: string, compress: Compression): Promise<CacheMode> {
  if (compress !== 'none') return 'writeback';
  const probe = join(dirname(path), `.direct-${randomUUID()}`);
  const flags = constants.O_CREAT | constants.O_EXCL | constants.O_WRONLY | constants.O_DIRECT;
  try {
    const file = await open(probe, flags, 0o600);
    await file.close();
    return 'none';
  } catch {
    // Whatever else is wrong with this folder, the conversion itself says it better.
    return 'writeback';
  } finally {
    await unlink(probe).catch(() => undefined);
  }
}
