// Limits how long libvirt waits for a domain's guest agent during a call, and restores the former limit.
import type { Domain } from './domain.ts';
import { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK } from './ffi/constants.ts';

/** A limit to set, and the one to restore. */
export interface AgentLimit {
  /** The limit of the domain before. */
  previousS: number;
  limitS: number;
}

/**
 * Returns the limit to set so that no agent call outlasts `ms`; undefined if the domain has such a
 * limit already.
 *
 * NOTE: by default libvirt waits forever, and an agent call cannot be cancelled: it blocks the domain's
 * agent even after its client has died. So a call needs a limit, which is set per domain. If libvirt's
 * status file is unreadable (another user than the daemon's), its default is assumed.
 */
export async function neededAgentLimit(
  domain: Domain,
  ms: number,
): Promise<AgentLimit | undefined> {
  const limitS = Math.ceil(ms / 1000);
  const status = await domain.status();
  const previousS = status?.agentTimeoutS ?? VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
  const isLimited = previousS >= 0 && previousS <= limitS;
  return isLimited ? undefined : { previousS, limitS };
}

/** Restores the former limit, unless another client has set a new one since. */
export async function liftAgentLimit(
  domain: Domain,
  { previousS, limitS }: AgentLimit,
): Promise<void> {
  const now = (await domain.status())?.agentTimeoutS;
  if (now === undefined || now === limitS) await domain.agentSetResponseTimeout(previousS);
}

/**
 * Runs `work` while agent calls of the domain are limited to `ms`; restores the limit when `work` settles.
 * @throws what `work` throws; LibvirtError if libvirt rejects the limit
 */
export async function withAgentLimit<T>(
  domain: Domain,
  ms: number,
  work: () => Promise<T>,
): Promise<T> {
  const limit = await neededAgentLimit(domain, ms);
  if (limit === undefined) return work();
  try {
    await domain.agentSetResponseTimeout(limit.limitS);
    return await work();
  } finally {
    await liftAgentLimit(domain, limit);
  }
}
