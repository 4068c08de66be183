// Decides whether an untrusted image file may come in: by its own bytes, then by qemu-img under limits.
import { PublishError } from '../../core/errors.ts';
import { withImageBytes } from '../../formats/image-bytes.ts';
import { type Inspected, inspectImage } from '../../formats/inspect-image.ts';
import { DO_NOT_USE, damaged, imageRefused } from '../../formats/refused.ts';
import { check, type ImageFile, info, qemuFormat } from '../../qemu/qemu-img.ts';
import type { ImportSettings } from './import-settings.ts';

/** Limits of one `qemu-img info`: those of OpenStack. */
const LOOK = { addressSpaceBytes: 2 * 1024 ** 3, cpuS: 30 };
/** A check reads all tables of the image: more time, and no more memory. */
const CHECK = { ...LOOK, cpuS: 600 };

/** @throws IMAGE_REFUSED, USAGE (another format than expected), QEMU_IMG (it is missing) */
export async function examine(
  path: string,
  { format, config, signal }: Pick<ImportSettings, 'format' | 'config' | 'signal'>,
): Promise<Inspected> {
  const { maxVirtualBytes } = config.import;
  const inspected = await withImageBytes(path, (bytes) =>
    inspectImage(bytes, { expected: format, maxVirtualBytes }),
  );
  const file = { path, format: qemuFormat(inspected.format) };
  const limits = { signal, timeoutMs: config.timeouts.requestMs };
  const reported = await orRefused(() => info({ ...file, ...limits, confined: LOOK }), signal);
  const others = reported.backingFile ?? reported.dataFile;
  if (reported.format !== file.format || others !== null || reported.encrypted) {
    throw imageRefused('is something else to qemu-img than its bytes say', DO_NOT_USE);
  }
  if (roundUp(inspected.virtualSize) !== roundUp(reported.virtualSize)) {
    throw imageRefused('has another size for qemu-img than its bytes say', DO_NOT_USE);
  }
  // A raw one has no tables.
  if (file.format !== 'raw')
    await checkTables(file, { signal, timeoutMs: config.timeouts.checkMs });
  return { ...inspected, virtualSize: reported.virtualSize };
}

/** @throws IMAGE_REFUSED if a guest of this host writes to the file, as QEMU's locks show */
export async function assertNotInUse(
  path: string,
  { config, signal }: Pick<ImportSettings, 'config' | 'signal'>,
): Promise<void> {
  // With format raw qemu-img interprets nothing in the file.
  const limits = { signal, timeoutMs: config.timeouts.requestMs, confined: LOOK };
  await orRefused(() => info({ path, format: 'raw', ...limits }), signal);
}

async function checkTables(
  file: ImageFile,
  limits: { signal: AbortSignal; timeoutMs: number },
): Promise<void> {
  const request = { ...file, ...limits, confined: CHECK };
  const { state, corruptions } = await orRefused(() => check(request), limits.signal);
  if (state === 'corrupt') throw damaged(`qemu-img check found ${corruptions} corruptions`);
}

/** Turns a failure of qemu-img on the image into IMAGE_REFUSED; one to start qemu-img stays as it is. */
async function orRefused<T>(look: () => Promise<T>, signal: AbortSignal): Promise<T> {
  try {
    return await look();
  } catch (error) {
    const isOther = !(error instanceof PublishError) || error.code !== 'QEMU_IMG';
    if (signal.aborted || isOther || / could not start/.test(error.message)) throw error;
    const message = `the image cannot be read: ${error.message}`;
    throw new PublishError('IMAGE_REFUSED', message, { step: 'inspect', cause: error });
  }
}

function roundUp(bytes: number): number {
  return Math.ceil(bytes / 512) * 512;
}
