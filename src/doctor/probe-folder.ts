// A folder in the work directory to try things in, as a run makes one; it goes again.
import { randomUUID } from 'node:crypto';
import { mkdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PublishError } from '../errors.ts';

/** @throws WORK_DIR where it cannot be made. */
export async function withProbeFolder<T>(
  workDir: string,
  work: (folder: string) => Promise<T>,
): Promise<T> {
  const folder = join(workDir, `doctor-${randomUUID()}`);
  try {
    await mkdir(folder, { recursive: true, mode: 0o711 });
  } catch (cause) {
    const message = `${workDir} cannot be written to: ${messageOf(cause)}; choose another one with --work-dir`;
    throw new PublishError('WORK_DIR', message, { step: 'space', cause });
  }
  try {
    return await work(folder);
  } finally {
    await rm(folder, { recursive: true, force: true });
  }
}
