// Whether a call failed because its domain is off.
import { pollUntil } from '../core/poll.ts';
import type { Domain } from './domain.ts';
import { isLibvirtError, VIR_ERR } from './errors.ts';

/** libvirt detects the end of QEMU shortly after the call that failed with it. */
const END_SEEN_MS = 3000;

/**
 * Whether the call failed because the domain is off. A transient domain that is off does not exist; a
 * call during the shutdown fails with an error of the QEMU monitor, so the end is waited for.
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
