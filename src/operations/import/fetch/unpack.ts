// Unpacks a stream by its first bytes: gzip in this process, xz and zstd by their programs under limits.
import { spawn } from 'node:child_process';
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { messageOf, PublishError } from '../../../core/errors.ts';
import { withoutSecrets } from '../../../core/secrets.ts';
import type { ImageBytes } from '../../../formats/image-bytes.ts';
import { findPackings } from '../../../formats/packed-signatures.ts';

export type Packing = 'gzip' | 'xz' | 'zstd';

const PACKINGS: readonly Packing[] = ['gzip', 'xz', 'zstd'];

/**
 * NOTE: Node has zstd since 22.15 and no xz at all, and the packages for both are no longer kept
 * up. The distribution's programs are, and a program can be given a limit of memory: 1 GiB is more
 * than the 128 MiB windows that are allowed below need.
 */
const MEMORY_MIB = { xz: 256, zstd: 128 } as const;
const PROGRAMS: Readonly<Record<Exclude<Packing, 'gzip'>, readonly string[]>> = {
  xz: ['xz', '-dcq', '-T1', `--memlimit-decompress=${MEMORY_MIB.xz}MiB`],
  zstd: ['zstd', '-dcq', `--memory=${MEMORY_MIB.zstd}MiB`],
};
/** What both programs print if a dictionary or window is larger. */
const NEEDS_MEMORY = /memory is required|memory usage limit|--memory=|window size|allocate memory/i;
const LIMITS = ['--as=1073741824', '--core=0', '--nofile=16'];

/** Returns how the bytes are packed; `undefined` if they are not, or in a way that is not supported. */
export async function packingOf(bytes: ImageBytes): Promise<Packing | undefined> {
  const found = await findPackings(bytes);
  return PACKINGS.find((packing) => found.includes(packing));
}

/** Returns the unpacked bytes; the stream fails with IMAGE_REFUSED or INTERNAL. */
export function unpack(packed: Readable, packing: Packing, signal: AbortSignal): Readable {
  if (packing === 'gzip') return unpackGzip(packed);
  return Readable.from(unpackBy(packing, packed, signal), { objectMode: false });
}

function unpackGzip(packed: Readable): Readable {
  const gunzip = createGunzip({ chunkSize: 256 * 1024 });
  // An error of `packed` reaches the reader by `gunzip`, which `pipeline` destroys with it.
  return pipeline(packed, gunzip, () => undefined);
}

async function* unpackBy(
  packing: Exclude<Packing, 'gzip'>,
  packed: Readable,
  signal: AbortSignal,
): AsyncGenerator<Buffer> {
  const child = spawn('prlimit', [...LIMITS, '--', ...PROGRAMS[packing]], {
    stdio: ['pipe', 'pipe', 'pipe'],
    env: { PATH: PATH_OF_PROGRAMS, LC_ALL: 'C' },
  });
  const kill = () => child.kill('SIGKILL');
  signal.addEventListener('abort', kill, { once: true });
  let stderrText = '';
  child.stderr.on('data', (text) => {
    stderrText = (stderrText + String(text)).slice(0, 1000);
  });
  const ended = new Promise<number | null>((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
  ended.catch(() => undefined);
  let fed: unknown;
  pipeline(packed, child.stdin, (error) => {
    // The end of the program says better why it no longer reads.
    if (error && !isBrokenPipe(error)) {
      fed = error;
      kill();
    }
  });
  try {
    for await (const chunk of child.stdout) yield chunk as Buffer;
    const exitCode = await ended.catch((cause: unknown) => {
      throw missing(packing, cause);
    });
    if (fed !== undefined) throw fed;
    if (signal.aborted) throw signal.reason;
    if (exitCode !== 0)
      throw NEEDS_MEMORY.test(stderrText) ? tooHungry(packing) : broken(packing, stderrText);
  } finally {
    kill();
    packed.destroy();
    signal.removeEventListener('abort', kill);
  }
}

const PATH_OF_PROGRAMS = '/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin';

/** Returns an error of zlib as a PublishError, and any other error unchanged. */
export function unpackError(packing: Packing, error: unknown): unknown {
  const code = error instanceof Error && 'code' in error ? String(error.code) : '';
  return code.startsWith('Z_') ? broken(packing, messageOf(error)) : error;
}

function broken(packing: Packing, stderrText: string): PublishError {
  const words = withoutSecrets(stderrText).trim().split('\n').at(-1) ?? '';
  const message = `the image cannot be unpacked: ${packing} reports ${JSON.stringify(words)}`;
  return new PublishError('IMAGE_REFUSED', message, { step: 'unpack', hint: 'fetch it again' });
}

function tooHungry(packing: Exclude<Packing, 'gzip'>): PublishError {
  const message = `the image needs more memory to unpack than the ${MEMORY_MIB[packing]} MiB that ${packing} is allowed`;
  const hint = 'unpack it by hand, and import the plain file';
  return new PublishError('IMAGE_REFUSED', message, { step: 'unpack', hint });
}

function missing(packing: Exclude<Packing, 'gzip'>, cause: unknown): PublishError {
  const [program] = PROGRAMS[packing];
  const hint = `install ${program === 'xz' ? 'xz-utils' : 'zstd'} and util-linux`;
  const message = `${program} or prlimit could not be started`;
  return new PublishError('CONFIG', message, { step: 'unpack', cause, hint });
}

function isBrokenPipe(error: Error): boolean {
  return 'code' in error && (error.code === 'EPIPE' || error.code === 'ERR_STREAM_PREMATURE_CLOSE');
}
