// Asks the kernel whether a page of an open file lies in the page cache, without waiting for the storage.
import { koffi } from './koffi.ts';

const libc = koffi.load('libc.so.6');
koffi.struct('iovec', { iov_base: 'void *', iov_len: 'size_t' });
const preadv2: (
  fd: number,
  iov: { iov_base: Buffer; iov_len: number },
  count: number,
  offset: number,
  flags: number,
) => number = libc.func(
  'long preadv2(int fd, const iovec *iov, int count, int64_t offset, int flags)',
);

const RWF_NOWAIT = 8;
const byte = Buffer.alloc(1);

/**
 * Returns whether the page at byte `at` lies in the page cache; true also if the file system does not
 * support the question, since a read through the page cache is always correct.
 * @see preadv2(2), RWF_NOWAIT
 */
export function isPageCached(fd: number, at: number): boolean {
  const read = preadv2(fd, { iov_base: byte, iov_len: 1 }, 1, at, RWF_NOWAIT);
  return read >= 0 || koffi.errno() !== koffi.os.errno.EAGAIN;
}
