// What Linux can do with open files and Node cannot: share their blocks, and see whether somebody writes to one.
import { koffi } from './koffi.ts';

const libc = koffi.load('libc.so.6');
// NOTE: in C both take any number of arguments, which koffi calls in this thread alone.
const ioctl: AsyncCall<Buffer> = libc.func(
  'int ioctl(int fd, unsigned long request, void *argument)',
);
const fcntl: (fd: number, command: number, argument: number) => number = libc.func(
  'int fcntl(int fd, int command, int argument)',
);

const readlinkat: (fd: number, path: string, buffer: Buffer, size: number) => number = libc.func(
  'long readlinkat(int fd, const char *path, _Out_ void *buffer, size_t size)',
);

interface AsyncCall<Value> {
  async(...call: [number, number, Value, (error: Error | null, result: number) => void]): void;
}

/** `_IOW(0x94, 13, struct file_clone_range)`, as all but a few old processors number it. */
const FICLONERANGE = 0x4020940d;
const RANGE_BYTES = 32;
const MAX_PATH = 4096;

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** Nobody minds it. */
const SIGURG = 23;

/**
 * Has bytes of one file share the blocks of another's (a reflink). Descriptors of open files; all
 * places and the length are multiples of the file system's block. Resolves to false where this pair
 * of files cannot.
 *
 * NOTE: what of the source is not on the disk yet is written there first, which may take seconds; so
 * it is done in one of libuv's threads, which must be waited for before a descriptor is closed.
 * @see ioctl_ficlonerange(2)
 */
export function shareBlocks(
  fd: { from: number; to: number },
  { at, length, to }: { at: number; length: number; to: number },
): Promise<boolean> {
  const argument = Buffer.alloc(RANGE_BYTES);
  [fd.from, at, length, to].forEach((value, n) => {
    argument.writeBigInt64LE(BigInt(value), n * 8);
  });
  return new Promise((resolve, reject) => {
    ioctl.async(fd.to, FICLONERANGE, argument, (error, result) => {
      if (error) reject(error);
      else resolve(result === 0);
    });
  });
}

/** `writer`: a process has the file open for writing. `unknown`: file system or owner forbid a lease. */
export type LeaseAnswer = 'taken' | 'writer' | 'unknown';

/**
 * Takes a read lease on the file of a descriptor, which is for reading only. It is taken only if no
 * process, this one included, has the file open or mapped for writing. Whoever opens it for writing
 * waits then until the lease is dropped, or for /proc/sys/fs/lease-break-time (45 s).
 *
 * NOTE: who opens the file has a signal sent, by default SIGIO, which ends a process that does not
 * expect it.
 * @see fcntl(2), F_SETLEASE
 */
export function takeReadLease(fd: number): LeaseAnswer {
  if (fcntl(fd, F_SETSIG, SIGURG) !== 0) return 'unknown';
  if (fcntl(fd, F_SETLEASE, F_RDLCK) === 0) return 'taken';
  return koffi.errno() === koffi.os.errno.EAGAIN ? 'writer' : 'unknown';
}

/** False from the moment on in which somebody opens the file for writing. */
export function hasReadLease(fd: number): boolean {
  return fcntl(fd, F_GETLEASE, 0) === F_RDLCK;
}

/** Lets whoever waits open the file; it may be dropped already. */
export function dropLease(fd: number): void {
  fcntl(fd, F_SETLEASE, F_UNLCK);
}

/** Where the symbolic link of a descriptor (`O_PATH | O_NOFOLLOW`) leads. @see readlinkat(2) */
export function linkTarget(fd: number): string {
  const buffer = Buffer.alloc(MAX_PATH);
  const length = readlinkat(fd, '', buffer, MAX_PATH);
  if (length < 0) throw new Error(`readlinkat failed with errno ${koffi.errno()}`);
  return buffer.toString('utf8', 0, length);
}
