// A streamed image: its bytes are made from a plan and its layers, range by range, without a file.
import { open } from 'node:fs/promises';
import { PublishError } from '../../core/errors.ts';
import { inTime, type TimeLimits } from '../../core/time-limit.ts';
import { OWNERS_ONLY } from '../../host/files/private-file.ts';
import { writeAll } from '../../host/io/direct-target.ts';
import type { ImageSource } from '../../host/io/image-source.ts';
import { writeInTime } from '../../qemu/write-failure.ts';
import { Qcow2Layout } from '../qcow2/qcow2-layout.ts';
import { assertUnchanged, type PlannedImage } from './plan-image.ts';
import { PlannedReader } from './planned-reader.ts';

const TABLES_BYTES = 2 * 1024 * 1024;

/** Returns the bytes of the image. */
export function plannedBytes(planned: PlannedImage): number {
  return new Qcow2Layout(planned).size;
}

/**
 * Returns the image as a source. It has the same bytes as the file that `writeImage` writes; the same
 * layers always make the same bytes. `limits` are for the check of the layers after the last read.
 */
export function plannedSource(planned: PlannedImage, limits: TimeLimits): ImageSource {
  return {
    size: plannedBytes(planned),
    reader: () => new PlannedReader(planned),
    checkUnchanged: () =>
      inTime({ ...limits, late: () => lateError(planned) }, () =>
        assertUnchanged(planned, 'upload'),
      ),
  };
}

function lateError({ layers: [top] }: PlannedImage): PublishError {
  const message = `the check of ${top} and the files below it took longer than its deadline`;
  return new PublishError('UPLOAD', message, {
    step: 'upload',
    hint: 'check whether the storage hangs',
  });
}

/**
 * Writes a file with the image's header and tables, and with holes in place of its data, for
 * `qemu-img check`, which reads only the tables.
 * @throws PublishError NO_SPACE, QEMU_IMG; the signal's reason.
 */
export async function writeTables(
  planned: PlannedImage,
  path: string,
  limits: TimeLimits,
): Promise<void> {
  await writeInTime({ ...limits, path }, (signal) => writeTablesTo(planned, path, signal));
}

async function writeTablesTo(
  planned: PlannedImage,
  path: string,
  signal: AbortSignal,
): Promise<void> {
  const layout = new Qcow2Layout(planned);
  const file = await open(path, 'w', OWNERS_ONLY);
  try {
    for (let at = 0; at < layout.dataAt; at += TABLES_BYTES) {
      signal.throwIfAborted();
      const tables = Buffer.alloc(Math.min(TABLES_BYTES, layout.dataAt - at));
      layout.fillTables(tables, at);
      await writeAll(file, tables, at);
    }
    await file.truncate(layout.size);
  } finally {
    await file.close();
  }
}
