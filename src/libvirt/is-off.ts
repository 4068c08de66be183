// Whether a call failed because its domain is off.
import { pollUntil } from '../core/poll.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';

/** libvirt sees QEMU's end some moments after a call that it cut short. */
const END_SEEN_MS = 3000;

/**
 * A transient domain is gone when it is off, a persistent one not running; one that goes off within
 * the call fails with whatever the monitor's end gives.
 */
export async function isOff(domain: Domain, error: unknown): Promise<boolean> {
  if (!isLibvirtError(error)) return false;
  if (error.code === VIR_ERR.NO_DOMAIN || error.code === VIR_ERR.OPERATION_INVALID) return true;
  return pollUntil(() => hasEnded(domain), { timeoutMs: END_SEEN_MS, pollMs: 100 });
}

async function hasEnded(domain: Domain): Promise<boolean> {
  try {
    return !(await domain.isActive());
  } catch (error) {
    return isLibvirtError(error, VIR_ERR.NO_DOMAIN);
  }
}
