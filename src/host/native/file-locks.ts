// Locks of an open file description, which the kernel drops when its last descriptor is closed.
import { koffi } from './koffi.ts';

const libc = koffi.load('libc.so.6');
const fcntl: (fd: number, command: number, argument: Buffer) => number = libc.func(
  'int fcntl(int fd, int command, void *argument)',
);

const F_OFD_GETLK = 36;
const F_OFD_SETLK = 37;
const F_WRLCK = 1;
const F_UNLCK = 2;
/** `struct flock` of a 64-bit Linux: two shorts, two 64-bit offsets, a pid. Zeros mean the whole file. */
const FLOCK_BYTES = 32;

/**
 * Takes the lock of a file for its open descriptor. Returns false if another open file has it.
 *
 * NOTE: the kernel holds this lock: it counts for every program and every network namespace. A child
 * process does not share it, since Node opens every file with O_CLOEXEC.
 * @throws Error if the file system has no locks. @see fcntl(2), F_OFD_SETLK
 */
export function tryLock(fd: number): boolean {
  if (fcntl(fd, F_OFD_SETLK, writeLock()) === 0) return true;
  const errno = koffi.errno();
  const { EAGAIN, EACCES } = koffi.os.errno;
  if (errno === EAGAIN || errno === EACCES) return false;
  throw failed(errno);
}

/** Returns whether another open file has the lock of the file. @throws Error as `tryLock`. */
export function isLocked(fd: number): boolean {
  const lock = writeLock();
  if (fcntl(fd, F_OFD_GETLK, lock) !== 0) throw failed(koffi.errno());
  return lock.readInt16LE(0) !== F_UNLCK;
}

function writeLock(): Buffer {
  const lock = Buffer.alloc(FLOCK_BYTES);
  lock.writeInt16LE(F_WRLCK, 0);
  return lock;
}

function failed(errno: number): Error {
  const { errno: codes } = koffi.os;
  const name = Object.keys(codes).find((each) => codes[each] === errno);
  return new Error(`this file system has no locks (${name ?? `error ${errno}`})`);
}
