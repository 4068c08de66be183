// A worker's libvirt connection: calls C functions with their error check, and keeps the domain handles.
import { type LibvirtErrorFields, VIR_ERR } from '../errors.ts';
import {
  bind,
  nameOf,
  takeDiskErrors,
  takePointers,
  takeTypedNumbers,
  takeTypedStrings,
} from './native.ts';
import type { Arguments, Checked, Pointer, Prototype } from './prototype.ts';
import type { DomainRef } from './results.ts';

/** A failed call, inside the worker; its fields are posted to the main thread. */
export class CallFailure extends Error {
  readonly fields: LibvirtErrorFields;

  constructor(fields: LibvirtErrorFields) {
    super(fields.message);
    this.fields = fields;
  }
}

/**
 * Domain handles are kept by UUID. libvirtd finds a domain by the UUID in the handle at every call,
 * so one handle serves a domain through undefine and redefine. There are never more handles than
 * domains. All other handles are freed in the call that made them.
 */
export class CSession {
  #connection: Pointer | undefined;
  #uri = '';
  readonly #domains = new Map<string, Pointer>();

  /** Readers of C memory; here, since the table of calls must load in a thread without the C library. */
  readonly take = {
    diskErrors: takeDiskErrors,
    pointers: takePointers,
    typedNumbers: takeTypedNumbers,
    typedStrings: takeTypedStrings,
  };

  open(uri: string): void {
    this.#connection = this.call('void *virConnectOpen(const char *name)', uri);
    this.#uri = uri;
  }

  /** @throws Error if `open` was not called before: a defect of this package. */
  get connection(): Pointer {
    if (this.#connection === undefined) throw new Error('the libvirt connection is not open');
    return this.#connection;
  }

  get uri(): string {
    return this.#uri;
  }

  /**
   * Calls a C function.
   *
   * NOTE: libvirt's last error belongs to the thread that made the call, and the next call on that
   * thread clears it. So it is read here, synchronously; a koffi call made with `.async` runs on
   * another thread and would always find "no error".
   * @throws CallFailure if it returns -1 or NULL, with libvirt's last error.
   */
  call<const P extends Prototype>(prototype: P, ...args: Arguments<P>): Checked<P> {
    const result: unknown = bind(prototype)(...args);
    if (result === null || (typeof result === 'number' && result < 0)) throw lastError(prototype);
    return result as Checked<P>;
  }

  /** Calls `work` with the handle that a function returned, and frees the handle in any case. */
  using<T>(handle: Pointer, free: Prototype, work: (handle: Pointer) => T): T {
    try {
      return work(handle);
    } finally {
      this.free(free, handle);
    }
  }

  free(prototype: Prototype, handle: Pointer): void {
    const call = bind(prototype) as unknown as (handle: Pointer) => number;
    call(handle);
  }

  /** Keeps a new domain handle under its UUID, and frees the former one. */
  keep(domain: Pointer): DomainRef {
    const buffer = Buffer.alloc(UUID_BUFFER_SIZE);
    this.call('int virDomainGetUUIDString(void *dom, _Out_ uint8_t *buf)', domain, buffer);
    const uuid = buffer.toString('latin1', 0, UUID_BUFFER_SIZE - 1);
    const name = this.call('const char *virDomainGetName(void *dom)', domain);
    const former = this.#domains.get(uuid);
    if (former !== undefined) this.free(FREE_DOMAIN, former);
    this.#domains.set(uuid, domain);
    return { name, uuid };
  }

  /** Returns the handle of a domain, looking it up if this session has none yet. */
  domain(uuid: string): Pointer {
    return this.#domains.get(uuid) ?? this.lookupDomain(uuid);
  }

  /** Looks a domain up, and keeps its handle. */
  lookupDomain(uuid: string): Pointer {
    const prototype = 'void *virDomainLookupByUUIDString(void *conn, const char *uuid)';
    const found = this.call(prototype, this.connection, uuid);
    this.keep(found);
    return found;
  }

  close(): void {
    for (const domain of this.#domains.values()) this.free(FREE_DOMAIN, domain);
    this.#domains.clear();
    if (this.#connection !== undefined) {
      this.free('int virConnectClose(void *conn)', this.#connection);
    }
    this.#connection = undefined;
  }
}

// VIR_UUID_STRING_BUFLEN: 36 characters and the terminating NUL.
const UUID_BUFFER_SIZE = 37;
const FREE_DOMAIN = 'int virDomainFree(void *dom)';

/** @throws CallFailure if C would cut an argument short and act on another domain, disk or file. */
export function assertNoNul(call: string, args: readonly unknown[]): void {
  if (!args.some((arg) => typeof arg === 'string' && arg.includes('\0'))) return;
  throw new CallFailure({
    code: VIR_ERR.INVALID_ARG,
    domain: 0,
    call,
    message: 'invalid argument: it holds a NUL character',
  });
}

/** The last error of this thread. */
function lastError(prototype: Prototype): CallFailure {
  return new CallFailure({
    code: bind('int virGetLastErrorCode()')(),
    domain: bind('int virGetLastErrorDomain()')(),
    call: nameOf(prototype),
    message: bind('const char *virGetLastErrorMessage()')() ?? '',
  });
}
