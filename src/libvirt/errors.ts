// The error of a libvirt call, and the codes this package tells apart.
import { withoutSecrets } from '../core/secrets.ts';

/** Values of virErrorNumber, from libvirt/virterror.h. */
export const VIR_ERR = {
  INTERNAL_ERROR: 1,
  NO_SUPPORT: 3,
  NO_CONNECT: 5,
  INVALID_ARG: 8,
  OPERATION_FAILED: 9,
  XML_ERROR: 27,
  XML_DETAIL: 35,
  OPERATION_DENIED: 29,
  SYSTEM_ERROR: 38,
  RPC: 39,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  AUTH_FAILED: 45,
  NO_STORAGE_POOL: 49,
  NO_STORAGE_VOL: 50,
  OPERATION_INVALID: 55,
  CONFIG_UNSUPPORTED: 67,
  OPERATION_TIMEOUT: 68,
  NO_DOMAIN_SNAPSHOT: 72,
  ARGUMENT_UNSUPPORTED: 74,
  OPERATION_ABORTED: 78,
  AUTH_CANCELLED: 79,
  BLOCK_COPY_ACTIVE: 83,
  OPERATION_UNSUPPORTED: 84,
  AGENT_UNRESPONSIVE: 86,
  RESOURCE_BUSY: 87,
  ACCESS_DENIED: 88,
  AUTH_UNAVAILABLE: 94,
  AGENT_UNSYNCED: 97,
  DEVICE_MISSING: 99,
  NO_DOMAIN_CHECKPOINT: 103,
} as const;

/** Values of virErrorDomain: which part of libvirt raised it. */
export const VIR_FROM = { RPC: 7, QEMU: 10, REMOTE: 13, DOMAIN: 20 } as const;

/** What crosses from the worker thread to the caller. */
export interface LibvirtErrorFields {
  /** virErrorNumber; see `VIR_ERR`. */
  code: number;
  /** virErrorDomain; see `VIR_FROM`. */
  domain: number;
  /** The C function that failed, as `virDomainBlockRebase`. */
  call: string;
  message: string;
}

/** A libvirt call that failed, with what libvirt said, secrets masked. Match on `code`, never on the message. */
export class LibvirtError extends Error {
  override readonly name = 'LibvirtError';
  readonly code: number;
  readonly domain: number;
  readonly call: string;

  constructor(fields: LibvirtErrorFields) {
    super(`${withoutSecrets(fields.message)} (${fields.call}, libvirt error ${fields.code})`);
    this.code = fields.code;
    this.domain = fields.domain;
    this.call = fields.call;
  }
}

/** Whether this is a libvirt error, and (where a code is given) that very one. */
export function isLibvirtError(error: unknown, code?: number): error is LibvirtError {
  return error instanceof LibvirtError && (code === undefined || error.code === code);
}

/**
 * Whether the connection behind the call is gone (libvirtd stopped or was restarted): nothing more
 * comes through it, and a new one must be opened.
 */
export function isConnectionLost(error: unknown): boolean {
  return isLibvirtError(error) && error.domain === VIR_FROM.RPC;
}
