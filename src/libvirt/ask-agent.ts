// Asks a guest's agent whether it answers and whether the guest is frozen, with calls that change nothing.
import { withAgentLimit } from './agent-timeout.ts';
import type { Domain } from './domain.ts';
import { isConnectionLost, isLibvirtError, type LibvirtError, VIR_ERR } from './errors.ts';

/**
 * `frozen`: it answers, and the guest's file systems are frozen. `silent`: it does not answer; `error` is
 * libvirt's error.
 */
export type AgentAnswer =
  | { agent: 'answers'; isWindows: boolean }
  | { agent: 'frozen' }
  | { agent: 'silent'; error: LibvirtError };

/**
 * Asks for the guest's time, then for its system if the agent answers; each for `timeoutMs` at most.
 *
 * NOTE: this is the only harmless agent call that does not taint the domain, unlike
 * virDomainQemuAgentCommand. A freeze needs an agent that answers now: a silent one is never asked to
 * freeze, since its result would be unknown.
 * @throws LibvirtError if the connection is lost
 */
export async function askAgent(domain: Domain, timeoutMs: number): Promise<AgentAnswer> {
  try {
    return await withAgentLimit(domain, timeoutMs, async () => {
      try {
        await domain.getTime();
        return await answering(domain);
      } catch (error) {
        if (isFrozenAnswer(error)) return { agent: 'frozen' };
        if (isAnswer(error)) return await answering(domain);
        throw error;
      }
    });
  } catch (error) {
    if (!isLibvirtError(error) || isConnectionLost(error)) throw error;
    return { agent: 'silent', error };
  }
}

/** The name of Windows in QEMU's agent. */
const WINDOWS = 'mswindows';

/** An agent that does not report its system counts as not Windows. */
async function answering(domain: Domain): Promise<AgentAnswer> {
  const os = await domain.getGuestOs().catch((error: unknown) => {
    if (isLibvirtError(error) && !isConnectionLost(error)) return null;
    throw error;
  });
  return { agent: 'answers', isWindows: os === WINDOWS };
}

/**
 * Whether the guest's file systems are frozen by any client; the agent must have a limit already.
 *
 * NOTE: a request of the freeze status taints the domain (`custom-ga-command`). So it is made only
 * if the agent rejects the time call without a reason (QEMU before 6.2, or a blocked command).
 * @throws LibvirtError if the agent does not answer
 */
export async function isFrozen(domain: Domain, timeoutMs: number): Promise<boolean> {
  try {
    await domain.getTime();
    return false;
  } catch (error) {
    if (isFrozenAnswer(error)) return true;
    if (!isAnswer(error)) throw error;
  }
  const question = JSON.stringify({ execute: 'guest-fsfreeze-status' });
  const answer = await domain.qemuAgentCommand(question, Math.ceil(timeoutMs / 1000));
  return /"return"\s*:\s*"frozen"/.test(answer);
}

/** Whether the agent refused a call because the guest's file systems are frozen. */
export function isFrozenAnswer(error: unknown): boolean {
  return isAnswer(error) && /\bfrozen\b/i.test(error.message);
}

/**
 * Whether the agent itself answered with an error.
 *
 * NOTE: libvirt has no code for that: it is an internal error with the agent's command and message
 * (QEMU 6.2 and later: "the agent is in frozen state"). An answer that cannot be parsed is an internal
 * error too, without a command.
 */
function isAnswer(error: unknown): error is LibvirtError {
  return isLibvirtError(error, VIR_ERR.INTERNAL_ERROR) && /'guest-[\w-]+'/.test(error.message);
}
