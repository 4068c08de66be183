// Calls of Linux on open files that Node does not have: reflinks, leases, readlinkat.
import { koffi } from './koffi.ts';

const libc = koffi.load('libc.so.6');
// NOTE: both are variadic in C, and koffi makes variadic calls in the calling thread only.
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

/** `_IOW(0x94, 13, struct file_clone_range)`; the same number on x86_64 and arm64. */
const FICLONERANGE = 0x4020940d;
const RANGE_BYTES = 32;
const MAX_PATH = 4096;

const F_SETSIG = 10;
const F_SETLEASE = 1024;
const F_GETLEASE = 1025;
const F_RDLCK = 0;
const F_UNLCK = 2;
/** Ignored by default. */
const SIGURG = 23;

/**
 * Makes a range of one open file share the blocks of another's (a reflink). All offsets and the length
 * are multiples of the file system's block. Resolves to false if this pair of files cannot share.
 *
 * NOTE: the kernel first writes the source's dirty pages to the disk, which may take seconds. So the
 * call runs in one of libuv's threads; the descriptors must stay open until it ends.
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

/** `writer`: a process has the file open for writing. `unknown`: the file system or the owner forbids a lease. */
export type LeaseAnswer = 'taken' | 'writer' | 'unknown';

/**
 * Takes a read lease on the file of a descriptor that is open for reading only. It succeeds only if no
 * process, this one included, has the file open or mapped for writing. A process that then opens it
 * for writing waits until the lease is dropped, or for /proc/sys/fs/lease-break-time (45 s).
 *
 * NOTE: that open sends this process a signal, by default SIGIO, which ends a process that does not
 * handle it; hence SIGURG.
 * @see fcntl(2), F_SETLEASE
 */
export function takeReadLease(fd: number): LeaseAnswer {
  if (fcntl(fd, F_SETSIG, SIGURG) !== 0) return 'unknown';
  if (fcntl(fd, F_SETLEASE, F_RDLCK) === 0) return 'taken';
  return koffi.errno() === koffi.os.errno.EAGAIN ? 'writer' : 'unknown';
}

/** Returns false as soon as a process has opened the file for writing. */
export function hasReadLease(fd: number): boolean {
  return fcntl(fd, F_GETLEASE, 0) === F_RDLCK;
}

/** Drops the lease, so that a waiting process can open the file; does nothing without a lease. */
export function dropLease(fd: number): void {
  fcntl(fd, F_SETLEASE, F_UNLCK);
}

/** Returns the target of a symbolic link that is open as `O_PATH | O_NOFOLLOW`. @see readlinkat(2) */
export function linkTarget(fd: number): string {
  const buffer = Buffer.alloc(MAX_PATH);
  const length = readlinkat(fd, '', buffer, MAX_PATH);
  if (length < 0) throw new Error(`readlinkat failed with errno ${koffi.errno()}`);
  return buffer.toString('utf8', 0, length);
}
