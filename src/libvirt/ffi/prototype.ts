// TypeScript types of a C function of libvirt, read from its C prototype. Types and plain data only.
import type { Pointer } from '../../host/native/koffi.ts';

export type { Pointer };

/** A one-element array that a C function fills: koffi's way for an output parameter. */
export type Out<T> = [T];

/** 64-bit integers: koffi returns a bigint if a number would lose digits. */
export type Integer = number | bigint;

/** The structs that libvirt fills, with the C types of their fields. */
export const STRUCTS = {
  // NOTE: `unsigned long` is what libvirt's header says; it has 64 bits on every supported architecture.
  virDomainBlockJobInfo: {
    type: 'int',
    bandwidth: 'unsigned long',
    cur: 'unsigned long long',
    end: 'unsigned long long',
  },
  virDomainBlockInfo: {
    capacity: 'unsigned long long',
    allocation: 'unsigned long long',
    physical: 'unsigned long long',
  },
  virDomainJobInfo: {
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
  },
  virStorageVolInfo: {
    type: 'int',
    capacity: 'unsigned long long',
    allocation: 'unsigned long long',
  },
} as const;

type StructName = keyof typeof STRUCTS;

/** A struct as the caller passes it: empty, to be filled by libvirt. */
export type Struct<Name extends StructName> = Partial<
  Record<keyof (typeof STRUCTS)[Name], Integer>
>;

/** virTypedParameterType ULLONG, the only one that is passed to libvirt. */
export const VIR_TYPED_PARAM_ULLONG = 4;

export interface TypedParameter {
  field: string;
  type: typeof VIR_TYPED_PARAM_ULLONG;
  value: number;
}

/**
 * A C prototype: `int virDomainSuspend(void *dom)`. `str!` is a string that koffi frees.
 * A parameter whose name ends in `OrNull` may be NULL.
 */
export type Prototype =
  `${'int' | 'unsigned int' | 'void *' | 'const char *' | 'str! '}${string}(${string})`;

/** The C function of a prototype, with its parameters and its result typed. */
export type CFunction<P extends Prototype> = (...args: Arguments<P>) => Returned<P>;

/** The parameters of a prototype, in order. */
export type Arguments<P extends string> = P extends `${string}(${infer List})`
  ? Each<Split<List>>
  : never;

/** All parameters but the first, which is the handle that the function works on. */
export type AfterHandle<P extends string> =
  Arguments<P> extends [Pointer, ...infer Rest] ? Rest : never;

/** What a call returns after its error check: never NULL. */
export type Checked<P extends string> = NonNullable<Returned<P>>;

type Returned<P extends string> = P extends `${'int' | 'unsigned int'} ${string}`
  ? number
  : P extends `void *${string}`
    ? Pointer | null
    : string | null;

type Split<List extends string> = List extends ''
  ? []
  : List extends `${infer First}, ${infer Rest}`
    ? [First, ...Split<Rest>]
    : [List];

type Each<List extends string[]> = { [Index in keyof List]: Parameter<List[Index]> };

type Parameter<C extends string> = C extends `_Out_ void **${string}`
  ? Out<Pointer | null>
  : C extends `_Out_ ${'int' | 'unsigned int'} *${string}`
    ? Out<number>
    : C extends `_Out_ ${'unsigned long' | 'long long'} *${string}`
      ? Out<Integer>
      : C extends `_Out_ uint8_t *${string}`
        ? Uint8Array | null
        : C extends `_Out_ ${infer Name extends StructName} *${string}`
          ? Struct<Name>
          : C extends `virTypedParameter *${string}`
            ? TypedParameter[] | null
            : C extends `const char **${string}`
              ? string[] | null
              : C extends `const char *${string}OrNull`
                ? string | null
                : C extends `const char *${string}`
                  ? string
                  : C extends `void *${string}`
                    ? Pointer
                    : number;
