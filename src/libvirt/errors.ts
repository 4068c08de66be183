// The error of a libvirt call, and the codes that this package distinguishes.
import { withoutSecrets } from '../core/secrets.ts';

/** Values of virErrorNumber, from libvirt/virterror.h; only those in use. */
export const VIR_ERR = {
  INTERNAL_ERROR: 1,
  INVALID_ARG: 8,
  XML_DETAIL: 35,
  NO_DOMAIN: 42,
  NO_NETWORK: 43,
  NO_STORAGE_POOL: 49,
  NO_STORAGE_VOL: 50,
  OPERATION_INVALID: 55,
  OPERATION_TIMEOUT: 68,
  ARGUMENT_UNSUPPORTED: 74,
  OPERATION_ABORTED: 78,
  AGENT_UNRESPONSIVE: 86,
  RESOURCE_BUSY: 87,
  DEVICE_MISSING: 99,
} as const;

/** virErrorDomain RPC: the connection to the daemon raised the error. */
const VIR_FROM_RPC = 7;

/** What the worker thread posts to the main thread. */
export interface LibvirtErrorFields {
  /** virErrorNumber; see `VIR_ERR`. */
  code: number;
  /** virErrorDomain; the part of libvirt that raised the error. */
  domain: number;
  /** The C function that failed, such as `virDomainBlockRebase`. */
  call: string;
  message: string;
}

/** A failed libvirt call with libvirt's message, secrets masked. Match on `code`, never on the message. */
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

/** Whether this is a libvirt error and, if `code` is given, has that code. */
export function isLibvirtError(error: unknown, code?: number): error is LibvirtError {
  return error instanceof LibvirtError && (code === undefined || error.code === code);
}

/**
 * Whether the connection of the call is lost (libvirtd stopped or was restarted): all its later calls
 * fail, and a new one must be opened.
 */
export function isConnectionLost(error: unknown): boolean {
  return isLibvirtError(error) && error.domain === VIR_FROM_RPC;
}
