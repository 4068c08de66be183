// Reads the error of a libvirt call in the same breath as its result.
import { type LibvirtErrorFields, VIR_ERR } from '../errors.ts';
import { virGetLastErrorCode, virGetLastErrorDomain, virGetLastErrorMessage } from './ffi.ts';

/** A failed call, inside the worker; it crosses the thread as its fields. */
export class CallFailure extends Error {
  readonly fields: LibvirtErrorFields;

  constructor(fields: LibvirtErrorFields) {
    super(fields.message);
    this.fields = fields;
  }
}

// NOTE: libvirt's last error belongs to the thread that made the call, and the next call on that
// thread clears it. So it is read here, synchronously; a koffi call made with `.async` runs on
// another thread and would always find "no error".

/** Passes a count or 0 through. @throws CallFailure at -1. */
export function checkNumber(call: string, result: number): number {
  if (result < 0) throw lastError(call);
  return result;
}

/** Passes what was returned through. @throws CallFailure at NULL. */
export function checkNull<T>(call: string, result: T | null): T {
  if (result === null) throw lastError(call);
  return result;
}

/** An argument that C would cut short: it would act on another domain, disk or file than the one named. */
export function assertNoNul(call: string, args: readonly unknown[]): void {
  if (!args.some((arg) => typeof arg === 'string' && arg.includes('\0'))) return;
  throw new CallFailure({
    code: VIR_ERR.INVALID_ARG,
    domain: 0,
    call,
    message: 'invalid argument: it holds a NUL character',
  });
}

function lastError(call: string): CallFailure {
  return new CallFailure({
    code: virGetLastErrorCode(),
    domain: virGetLastErrorDomain(),
    call,
    message: virGetLastErrorMessage(),
  });
}
