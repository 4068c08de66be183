// The file with a UEFI guest's variables: finds it, and reads it at the image's point in time.
import { readFile, stat } from 'node:fs/promises';
import { join } from 'node:path';
import { messageOf, PublishError } from '../core/errors.ts';
import { inTime, type TimeLimits } from '../core/time-limit.ts';
import type { DomainDescription } from '../libvirt/xml/domain-xml.ts';
import { writeSecret } from '../run/journal/run-folder.ts';

/** The largest known file (aarch64) has 64 MiB; it is read into memory. */
const MAX_BYTES = 128 * 1024 * 1024;
const TRIES = 10;

/**
 * Returns the path of the domain's variables, an existing raw file.
 * @throws PublishError USAGE with the reason if there is none.
 */
export async function findNvram({
  name,
  firmware,
  nvram,
  nvramFormat,
}: DomainDescription): Promise<string> {
  if (firmware !== 'uefi') throw none(name, 'its firmware is not UEFI');
  if (nvram === null) throw none(name, 'its UEFI variables are not in a file of this host');
  if (nvramFormat !== 'raw') {
    throw none(name, `${nvram} has format ${nvramFormat}, and only raw is supported`);
  }
  const size = await stat(nvram).then(
    (file) => file.size,
    (error: unknown) => {
      throw none(name, `${messageOf(error)} (libvirt creates the file at the first start)`);
    },
  );
  if (size > MAX_BYTES) throw none(name, `${nvram} has ${size} bytes, more than any firmware uses`);
  return nvram;
}

/** The variables of one run: read into memory at the point in time, written to a file later. */
export class NvramCopy {
  readonly #path: string | null;
  #bytes: Buffer | undefined;

  /** `path` is null if they are not published. */
  constructor(path: string | null) {
    this.#path = path;
  }

  /** @throws PublishError QUIESCE if they cannot be read in time; the signal's reason. */
  async take(limits: TimeLimits): Promise<void> {
    const path = this.#path;
    if (path === null) return;
    const late = () => notInTime(path, limits.timeoutMs);
    this.#bytes = await inTime({ ...limits, late }, (signal) => readNvram(path, signal));
  }

  /** Writes them to a file with mode 0600 in `folder`; resolves to its path, or undefined without variables. */
  async writeTo(folder: string): Promise<string | undefined> {
    if (this.#bytes === undefined) return undefined;
    const path = join(folder, 'nvram.fd');
    await writeSecret(path, this.#bytes);
    this.#bytes = undefined;
    return path;
  }
}

/**
 * NOTE: nothing keeps the firmware from writing a variable, not even a freeze of the file systems. So
 * the file is read until two readings agree: no variable is incomplete then.
 * @throws PublishError QUIESCE if no two readings agree.
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
    `the guest's firmware keeps writing to ${path}, so it cannot be copied consistently`,
    {
      step: 'quiesce',
      retryable: true,
      hint: 'retry, use --mode cold, or omit --with-nvram',
    },
  );
}

function notInTime(path: string, timeoutMs: number): PublishError {
  return new PublishError(
    'QUIESCE',
    `cannot read ${path} within ${timeoutMs / 1000} s, the longest time that a guest is held`,
    {
      step: 'quiesce',
      retryable: true,
      hint: 'retry when its storage answers, or omit --with-nvram',
    },
  );
}

function none(name: string, why: string): PublishError {
  return new PublishError(
    'USAGE',
    `domain ${name} has no NVRAM file that can be published: ${why}`,
    { step: 'inspect', hint: 'omit --with-nvram' },
  );
}
