// The guest's clock, after its guest has hung in a managed save.
import { messageOf } from '../../core/errors.ts';
import { neededAgentLimit } from '../../libvirt/agent-timeout.ts';
import { agentLimit } from '../../run/acts/freeze-act.ts';
import type { CaptureRun } from '../capture-run.ts';

const CLOCK_TIMEOUT_MS = 5000;

/** The guest's clock stood still in the save; where an agent answers, it is set from the host's. */
export async function setClock({ domain, inspection, scope, onEvent }: CaptureRun): Promise<void> {
  if (inspection.agent !== 'answers') return;
  try {
    const limit = await neededAgentLimit(domain, CLOCK_TIMEOUT_MS);
    if (limit) {
      await scope.perform(agentLimit, limit, () => domain.agentSetResponseTimeout(limit.ours));
    }
    await domain.setTimeSync();
  } catch (error) {
    const message = `the guest's clock was not set: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'start', message });
  }
  await scope.undo(agentLimit);
}
