// Independent judges of an image: qemu-img, e2fsck, debugfs, sha256sum.
import { join } from 'node:path';
import { must, type Ran, run } from './exec.ts';
import { makeFolder } from './folders.ts';

export interface ImageInfo {
  format: string;
  'virtual-size': number;
  'actual-size': number;
  'backing-filename'?: string;
  'full-backing-filename'?: string;
  'backing-filename-format'?: string;
  'format-specific'?: { data: Record<string, unknown> };
}

/** The output of `qemu-img info`; also for a disk in use. */
export async function imageInfo(path: string, format: string): Promise<ImageInfo> {
  const args = ['info', '--output=json', '--force-share', '-f', format, path];
  return JSON.parse(await must('qemu-img', args)) as ImageInfo;
}

/** Whether two images have the same content for a guest. Both must be unused. */
export async function sameContent(
  one: { path: string; format: string },
  other: { path: string; format: string },
): Promise<boolean> {
  const args = ['compare', '-f', one.format, '-F', other.format, one.path, other.path];
  const ran = await run('qemu-img', args, { timeoutMs: 600_000 });
  if (ran.exitCode !== 0 && ran.exitCode !== 1) {
    throw new Error(`qemu-img compare: exit ${ran.exitCode}: ${ran.stderr}`);
  }
  return ran.exitCode === 0;
}

/** Runs `qemu-img check`: exit 0 is a valid image. Raw images cannot be checked (63). */
export function imageCheck(path: string, format: string): Promise<Ran> {
  return run('qemu-img', ['check', '-f', format, path], { timeoutMs: 600_000 });
}

/**
 * Makes a raw copy of the image with the journal of its file system replayed, like a guest would find it.
 * For {@link fsckExt4} and {@link readFileFromImage}.
 */
export async function replayedCopy(path: string, format: string): Promise<string> {
  const copy = join(await makeFolder('vp-test-judge'), 'disk.raw');
  await must('qemu-img', ['convert', '-f', format, '-O', 'raw', path, copy]);
  await must('e2fsck', ['-E', 'journal_only', '-p', copy]);
  return copy;
}

/** Runs a full check that changes nothing: exit 0 is a clean file system. */
export function fsckExt4(raw: string): Promise<Ran> {
  return run('e2fsck', ['-f', '-n', raw]);
}

/** Reads a file of a raw ext4 image. @throws if it does not exist */
export async function readFileFromImage(raw: string, file: string): Promise<string> {
  const ran = await run('debugfs', ['-R', `cat ${file}`, raw]);
  // debugfs always exits 0; its first line on stderr is its version.
  if (ran.stderr.trim().split('\n').length > 1) {
    throw new Error(`debugfs: no ${file} in ${raw}: ${ran.stderr}`);
  }
  return ran.stdout;
}

/** The digest in hex, by `sha256sum`. */
export async function sha256Of(path: string): Promise<string> {
  return (await must('sha256sum', [path], { timeoutMs: 600_000 })).slice(0, 64);
}
