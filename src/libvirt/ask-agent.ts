// Whether a guest's agent answers, and what: asked with calls that change nothing.
import { withAgentLimit } from './agent-timeout.ts';
import type { Domain } from './domain.ts';
import { isConnectionLost, isLibvirtError, type LibvirtError, VIR_ERR } from './errors.ts';

/**
 * `frozen`: it answers, and the guest's file systems are frozen already. `silent`: it does not
 * answer; `error` is libvirt's reason.
 */
export type AgentAnswer =
  | { agent: 'answers'; isWindows: boolean }
  | { agent: 'frozen' }
  | { agent: 'silent'; error: LibvirtError };

/**
 * Asks for the guest's time, and for its system if it answers, for `timeoutMs` at most each.
 *
 * NOTE: this is the one harmless agent call that leaves no mark on the domain
 * (virDomainQemuAgentCommand taints it). An agent that answers now is the condition for a freeze:
 * one that was silent before is never asked to, since nobody could tell then whether it froze.
 * @throws LibvirtError where the connection is lost.
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

/** What QEMU's agent calls its system there. */
const WINDOWS = 'mswindows';

/** An agent that does not say which system it runs on runs on another. */
async function answering(domain: Domain): Promise<AgentAnswer> {
  const os = await domain.getGuestOs().catch((error: unknown) => {
    if (isLibvirtError(error) && !isConnectionLost(error)) return null;
    throw error;
  });
  return { agent: 'answers', isWindows: os === WINDOWS };
}

/**
 * Whether the guest's file systems are frozen, by whomever; the agent must have a limit already.
 *
 * NOTE: only an agent that refuses to tell the time without saying why (QEMU before 6.2, or one that
 * is not allowed to) is asked for its status, since libvirt marks the domain for that
 * (`custom-ga-command`).
 * @throws LibvirtError where the agent does not answer.
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
 * NOTE: libvirt has no code for that: it is an internal error that names the agent's command, with
 * the agent's words (QEMU 6.2 and later: "the agent is in frozen state"). An answer that cannot be
 * parsed is an internal error too, and names none.
 */
function isAnswer(error: unknown): error is LibvirtError {
  return isLibvirtError(error, VIR_ERR.INTERNAL_ERROR) && /'guest-[\w-]+'/.test(error.message);
}
