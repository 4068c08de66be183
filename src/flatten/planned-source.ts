// An image that needs no file: its bytes are made, range by range, from its plan and its layers.
import { open } from 'node:fs/promises';
import { writeAll } from '../files/direct-target.ts';
import type { ImageSource } from '../files/image-source.ts';
import { type PlannedImage, refuseChanged } from './plan-image.ts';
import { PlannedReader } from './planned-reader.ts';
import { Qcow2Layout } from './qcow2-layout.ts';
import { writeFailureOf } from './write-failure.ts';

const TABLES_BYTES = 2 * 1024 * 1024;
const OWNERS_ONLY = 0o600;

/**
 * The same bytes as `writeImage` writes where nothing is kept (`kept: 0`): of the same layers, always
 * the same ones.
 */
export function plannedSource(planned: PlannedImage): ImageSource {
  const reader = () => new PlannedReader(planned);
  return {
    size: new Qcow2Layout(planned, 0).size,
    reader,
    checkUnchanged: () => refuseChanged({ ...planned, kept: 0 }, 'upload'),
  };
}

/**
 * Writes a file with the image's header and tables and with holes for its data, for `qemu-img check`:
 * it judges the tables alone.
 * @throws PublishError NO_SPACE, QEMU_IMG; the signal's reason.
 */
export async function writeTables(
  planned: PlannedImage,
  path: string,
  signal?: AbortSignal,
): Promise<void> {
  const layout = new Qcow2Layout(planned, 0);
  try {
    const file = await open(path, 'w', OWNERS_ONLY);
    try {
      for (let at = 0; at < layout.dataAt; at += TABLES_BYTES) {
        signal?.throwIfAborted();
        const tables = Buffer.alloc(Math.min(TABLES_BYTES, layout.dataAt - at));
        layout.fillTables(tables, at);
        await writeAll(file, tables, at);
      }
      await file.truncate(layout.size);
    } finally {
      await file.close();
    }
  } catch (error) {
    if (signal?.aborted) throw signal.reason;
    throw writeFailureOf(path, error);
  }
}
