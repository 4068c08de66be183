// The file with a UEFI guest's variables: found, and read at the image's point in time.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PublishError } from '../core/errors.ts';
import { inTime, type TimeLimits } from '../core/time-limit.ts';
import type { DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { writeSecret } from '../run/journal/run-folder.ts';

/** The largest known (aarch64) have 64 MiB; it is read in one piece. */
const MAX_BYTES = 128 * 1024 * 1024;
const TRIES = 10;

/**
 * The path of the variables of a domain, as a raw file that is there.
 * @throws PublishError USAGE with the reason where there is none.
 */
export async function findNvram({
  name,
  firmware,
  nvram,
  nvramFormat,
}: DomainDescription): Promise<string> {
  if (firmware !== 'uefi') throw none(name, 'its firmware is no UEFI');
  if (nvram === null) throw none(name, 'its UEFI variables are in no file of this host');
  if (nvramFormat !== 'raw') {
    throw none(name, `${nvram} is of format ${nvramFormat}, and only a raw one can be read`);
  }
  const size = await stat(nvram).then(
    (file) => file.size,
    (error: unknown) => {
      throw none(name, `${messageOf(error)}; libvirt makes the file at the first start`);
    },
  );
  if (size > MAX_BYTES) throw none(name, `${nvram} has ${size} bytes, which no firmware's has`);
  return nvram;
}

/** The variables of one run: read at the point in time, and written down when there is time for it. */
export class NvramCopy {
  readonly #path: string | null;
  #bytes: Buffer | undefined;

  /** `path` is null where they stay at home. */
  constructor(path: string | null) {
    this.#path = path;
  }

  /** @throws PublishError QUIESCE where they cannot be read in time; the signal's reason. */
  async take(limits: TimeLimits): Promise<void> {
    const path = this.#path;
    if (path === null) return;
    const late = () => notInTime(path, limits.timeoutMs);
    this.#bytes = await inTime({ ...limits, late }, (signal) => readNvram(path, signal));
  }

  /** The file in `folder` that has them now, readable by its owner alone; undefined where there is none. */
  async writeTo(folder: string): Promise<string | undefined> {
    if (this.#bytes === undefined) return undefined;
    const path = join(folder, 'nvram.fd');
    await writeSecret(path, this.#bytes);
    this.#bytes = undefined;
    return path;
  }
}

/**
 * NOTE: nothing keeps the firmware from writing a variable just now, not even a freeze of the file
 * systems. So the file is read until two readings agree: no variable is half written then.
 * @throws PublishError QUIESCE where they never do.
 */
async function readNvram(path: string, signal: AbortSignal): Promise<Buffer> {
  let before = await readFile(path, { signal });
  for (let attempt = 1; attempt < TRIES; attempt += 1) {
    const now = await readFile(path, { signal });
    if (now.equals(before)) return now;
    before = now;
  }
  throw new PublishError(
    'QUIESCE',
    `the guest's firmware writes to ${path} without a pause, so it cannot be copied whole; try again, use --mode cold, or leave --with-nvram out`,
    { step: 'quiesce', retryable: true },
  );
}

function notInTime(path: string, timeoutMs: number): PublishError {
  return new PublishError(
    'QUIESCE',
    `${path} could not be read within ${timeoutMs / 1000} s, the longest time a guest is held; try again when its storage answers, or leave --with-nvram out`,
    { step: 'quiesce', retryable: true },
  );
}

function none(name: string, why: string): PublishError {
  return new PublishError(
    'USAGE',
    `domain ${name} has no NVRAM file that can go along: ${why}; leave --with-nvram out`,
    { step: 'inspect' },
  );
}
