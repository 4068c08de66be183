// libvirt's C libraries, their structs, and the reading of their memory.
import { koffi, type Pointer } from '../../host/native/koffi.ts';

export type { Pointer };

/** A one-element array that a C function fills: koffi's way for an output parameter. */
export type Out<T> = [T];

/** 64-bit integers: koffi gives a bigint where a number would lose digits. */
export type Integer = number | bigint;

// NOTE: `unsigned long` is what libvirt's header says, 64 bits on every machine it runs on here.
koffi.struct('virDomainBlockJobInfo', {
  type: 'int',
  bandwidth: 'unsigned long',
  cur: 'unsigned long long',
  end: 'unsigned long long',
});
koffi.struct('virDomainBlockInfo', {
  capacity: 'unsigned long long',
  allocation: 'unsigned long long',
  physical: 'unsigned long long',
});
koffi.struct('virDomainJobInfo', {
  type: 'int',
  timeElapsed: 'unsigned long long',
  timeRemaining: 'unsigned long long',
  dataTotal: 'unsigned long long',
  dataProcessed: 'unsigned long long',
  dataRemaining: 'unsigned long long',
  memTotal: 'unsigned long long',
  memProcessed: 'unsigned long long',
  memRemaining: 'unsigned long long',
  fileTotal: 'unsigned long long',
  fileProcessed: 'unsigned long long',
  fileRemaining: 'unsigned long long',
});
koffi.struct('virStorageVolInfo', {
  type: 'int',
  capacity: 'unsigned long long',
  allocation: 'unsigned long long',
});
const diskError = koffi.struct('virDomainDiskError', { disk: 'void *', error: 'int' });
// NOTE: the value is a union in C: 32 or 64 bits, or a pointer.
koffi.struct('virTypedParameter', {
  field: koffi.array('char', 80, 'String'),
  type: 'int',
  value: 'unsigned long long',
});

const libc = koffi.load('libc.so.6');
const libvirt = koffi.load('libvirt.so.0');

/** A function of libvirt.so.0, from its C prototype. */
export const c = (prototype: string) => libvirt.func(prototype);

/** A function of libvirt-qemu.so.0, a library of its own, loaded when it is first asked for. */
export const qemu = (prototype: string) => koffi.load('libvirt-qemu.so.0').func(prototype);

const virSetErrorFunc: (userData: null, handler: Pointer) => void = c(
  'void virSetErrorFunc(void *userData, void *handler)',
);

// NOTE: without a handler libvirt prints every error on stderr. The handler is process-wide and is
// called on whichever thread failed, so it cannot be a JavaScript function of one worker. It is
// C's free(): called as free(userData) with userData NULL, which the C standard says does nothing
// (the second argument stays in a register that free does not read).
virSetErrorFunc(null, libc.symbol('free'));

/** Reads a C array of `count` pointers and frees the array (not what it points to). */
export function takePointers(array: Pointer | null, count: number): Pointer[] {
  if (array === null) return [];
  // koffi has no arrays of length 0, but libvirt allocates them.
  const pointers: Pointer[] = count === 0 ? [] : koffi.decode(array, koffi.array('void *', count));
  koffi.free(array);
  return pointers;
}

interface RawParameter {
  field: string;
  type: number;
  value: Integer;
}

/** Reads a C array of virTypedParameter and frees it, but not the strings that it points to. */
function takeTyped(array: Pointer | null, count: number): RawParameter[] {
  if (array === null) return [];
  const raw: RawParameter[] =
    count === 0 ? [] : koffi.decode(array, koffi.array('virTypedParameter', count));
  koffi.free(array);
  return raw;
}

/** Reads the strings of a C array of virTypedParameter, by field, and frees all of it. */
export function takeTypedStrings(array: Pointer | null, count: number): Map<string, string> {
  const strings = takeTyped(array, count).filter(({ type }) => type === TYPED_STRING);
  return new Map(strings.map(({ field, value }) => [field, takeString(BigInt(value))]));
}

function takeString(pointer: Pointer): string {
  const text: string = koffi.decode(pointer, 'char', -1);
  koffi.free(pointer);
  return text;
}

/** Reads the numbers of a C array of virTypedParameter without strings, by field, and frees it. */
export function takeTypedNumbers(array: Pointer | null, count: number): Map<string, number> {
  const raw = takeTyped(array, count);
  // NOTE: a 32-bit value fills the first half of the union; what is in the other half is undefined.
  return new Map(
    raw.map(({ field, type, value }) => [
      field,
      type <= TYPED_UINT ? Number(BigInt(value) & 0xffff_ffffn) : Number(value),
    ]),
  );
}

/** virTypedParameterType UINT, after INT: the two that have 32 bits. */
const TYPED_UINT = 2;
const TYPED_STRING = 7;

/** Bytes of one virDomainDiskError. */
export const DISK_ERROR_SIZE = koffi.sizeof(diskError);

/** Reads `count` virDomainDiskError from a buffer that libvirt filled, and frees their strings. */
export function takeDiskErrors(
  buffer: Uint8Array,
  count: number,
): { disk: string; error: number }[] {
  if (count === 0) return [];
  const raw: { disk: Pointer; error: number }[] = koffi.decode(
    buffer,
    koffi.array(diskError, count),
  );
  return raw.map(({ disk, error }) => {
    const target = koffi.decode.string(disk);
    koffi.free(disk);
    return { disk: target, error };
  });
}
