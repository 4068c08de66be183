// libvirt's C libraries: loads them, binds their functions, and reads the memory that they return.
import { koffi } from '../../host/native/koffi.ts';
import {
  type CFunction,
  type Integer,
  type Pointer,
  type Prototype,
  STRUCTS,
} from './prototype.ts';

for (const [name, fields] of Object.entries(STRUCTS)) koffi.struct(name, fields);
const diskError = koffi.struct('virDomainDiskError', { disk: 'void *', error: 'int' });
// NOTE: the value is a union in C: 32 or 64 bits, or a pointer.
koffi.struct('virTypedParameter', {
  field: koffi.array('char', 80, 'String'),
  type: 'int',
  value: 'unsigned long long',
});

const libc = koffi.load('libc.so.6');
const libvirt = koffi.load('libvirt.so.0');

const bound = new Map<Prototype, unknown>();

/**
 * Returns the C function of a prototype. It is looked up in its library when it is first bound.
 * @throws Error if the library has no such function.
 */
export function bind<P extends Prototype>(prototype: P): CFunction<P> {
  const known = bound.get(prototype) ?? libraryOf(prototype).func(prototype);
  bound.set(prototype, known);
  return known as CFunction<P>;
}

/** The name of a prototype's function: `virDomainSuspend`. */
export function nameOf(prototype: Prototype): string {
  return /(\w+)\(/.exec(prototype)?.[1] ?? prototype;
}

/** libvirt-qemu.so.0 is a library of its own, loaded when one of its functions is first bound. */
function libraryOf(prototype: Prototype) {
  const isQemu = nameOf(prototype).startsWith('virDomainQemu');
  return isQemu ? koffi.load('libvirt-qemu.so.0') : libvirt;
}

// NOTE: without a handler libvirt prints every error on stderr. The handler is process-wide and is
// called on the thread that failed, so it cannot be a JavaScript function of one worker. It is
// C's free(): called as free(userData) with userData NULL, which the C standard says does nothing
// (the second argument stays in a register that free does not read).
const setErrorFunc: (userData: null, handler: Pointer) => void = libvirt.func(
  'void virSetErrorFunc(void *userData, void *handler)',
);
setErrorFunc(null, libc.symbol('free'));

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
  // NOTE: a 32-bit value fills the first half of the union; the other half is undefined.
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

/**
 * Lets `fill` write virDomainDiskError into a buffer for `max` of them, and reads as many as it
 * returns; frees their strings.
 */
export function takeDiskErrors(
  max: number,
  fill: (buffer: Uint8Array) => number,
): { disk: string; error: number }[] {
  const buffer = Buffer.alloc(max * koffi.sizeof(diskError));
  const count = max === 0 ? 0 : fill(buffer);
  if (count === 0) return [];
  const array = koffi.array(diskError, count);
  const raw: { disk: Pointer; error: number }[] = koffi.decode(buffer, array);
  return raw.map(({ disk, error }) => {
    const target = koffi.decode.string(disk);
    koffi.free(disk);
    return { disk: target, error };
  });
}
