// Sets the guest's clock after a managed save.
import { messageOf } from '../../core/errors.ts';
import { neededAgentLimit } from '../../libvirt/agent-timeout.ts';
import { agentLimit } from '../../run/acts/freeze-act.ts';
import type { CaptureRun } from '../capture-run.ts';

const CLOCK_TIMEOUT_MS = 5000;

/** Sets the guest's clock, which stopped during the save, from the host's; needs an agent that answers. */
export async function setClock({ domain, inspection, scope, onEvent }: CaptureRun): Promise<void> {
  if (inspection.agent !== 'answers') return;
  try {
    const limit = await neededAgentLimit(domain, CLOCK_TIMEOUT_MS);
    if (limit) {
      await scope.perform(agentLimit, limit, () => domain.agentSetResponseTimeout(limit.limitS));
    }
    await domain.setTimeSync();
  } catch (error) {
    const message = `cannot set the guest's clock: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'start', message });
  }
  await scope.undo(agentLimit);
}
