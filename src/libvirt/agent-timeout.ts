// How long libvirt waits for a domain's guest agent: limited for our own calls, and given back.
import type { Domain } from './domain.ts';
import { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK } from './ffi/constants.ts';

/** A limit that is to be set, and what undoes it. */
export interface AgentLimit {
  /** What the domain had before. */
  previousS: number;
  ours: number;
}

/**
 * Returns the limit to set so that no agent call outlasts `ms`; undefined if the domain has such a
 * limit already.
 *
 * NOTE: by default libvirt waits for ever, and nothing cancels an agent call: it keeps the domain's
 * agent to itself also after its client is gone. So our calls need a limit, which only the domain has.
 * Where libvirt's status file cannot be read (another user than the daemon's), its default is assumed.
 */
export async function neededAgentLimit(
  domain: Domain,
  ms: number,
): Promise<AgentLimit | undefined> {
  const ours = Math.ceil(ms / 1000);
  const status = await domain.status();
  const previousS = status?.agentTimeoutS ?? VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK;
  const isLimited = previousS >= 0 && previousS <= ours;
  return isLimited ? undefined : { previousS, ours };
}

/** Gives the domain the limit back that it had, unless somebody has set another one since. */
export async function liftAgentLimit(
  domain: Domain,
  { previousS, ours }: AgentLimit,
): Promise<void> {
  const now = (await domain.status())?.agentTimeoutS;
  if (now === undefined || now === ours) await domain.agentSetResponseTimeout(previousS);
}

/**
 * Runs `work` while no agent call of the domain outlasts `ms`; the domain has its own limit again
 * when this settles.
 * @throws what `work` throws; LibvirtError where libvirt refuses to set the limit.
 */
export async function withAgentLimit<T>(
  domain: Domain,
  ms: number,
  work: () => Promise<T>,
): Promise<T> {
  const limit = await neededAgentLimit(domain, ms);
  if (limit === undefined) return work();
  try {
    await domain.agentSetResponseTimeout(limit.ours);
    return await work();
  } finally {
    await liftAgentLimit(domain, limit);
  }
}
