// Freezes the guest's file systems where the policy wants it and the agent can.
import { PublishError } from '../errors.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import { freeze } from '../run/guest-acts.ts';
import type { CaptureRun } from './capture-run.ts';

/** What a freeze needs of a run. */
export type FreezeRun = Pick<CaptureRun, 'domain' | 'scope' | 'onEvent'> & {
  inspection: Pick<CaptureRun['inspection'], 'name' | 'agent'>;
  plan: Pick<CaptureRun['plan'], 'quiesce'>;
  timeouts: Pick<CaptureRun['timeouts'], 'freezeMs'>;
};

/**
 * Whether the guest is frozen now. It will be thawed by `scope`, whatever comes.
 *
 * NOTE: a freeze whose answer does not come may still have frozen the guest. It stays pending in
 * the scope then, and is thawed like one that succeeded.
 * @throws PublishError QUIESCE where the policy is `require` and the freeze did not succeed.
 */
export async function freezeGuest(run: FreezeRun): Promise<boolean> {
  const { domain, inspection, plan, scope, timeouts } = run;
  if (plan.quiesce === 'off') return false;
  if (inspection.agent !== 'answers') {
    warn(run, `no guest agent answers; the image will be crash-consistent`);
    return false;
  }
  try {
    await domain.agentSetResponseTimeout(Math.ceil(timeouts.freezeMs / 1000));
    await scope.perform(freeze, null, () => domain.fsFreeze());
    return true;
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    if (plan.quiesce === 'require') throw notQuiesced(run, error);
    warn(run, `the freeze failed (${error.message}); the image will be crash-consistent`);
    await scope.takeBack(freeze);
    return false;
  }
}

function notQuiesced({ inspection }: FreezeRun, cause: Error): PublishError {
  return new PublishError(
    'QUIESCE',
    `domain ${inspection.name} could not be frozen: ${cause.message}; look at qemu-guest-agent in the guest, or use --quiesce try`,
    { step: 'quiesce', cause },
  );
}

function warn({ onEvent }: FreezeRun, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'quiesce', message });
}
