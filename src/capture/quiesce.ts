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
 * Resolves to the moment when the freeze was asked for (`performance.now()`), or to undefined where
 * the guest is not frozen now. It will be thawed by `scope`, whatever comes.
 *
 * NOTE: a freeze whose answer does not come may still have frozen the guest. It stays pending in
 * the scope then, and is thawed like one that succeeded.
 * @throws PublishError QUIESCE where the policy is `require` and the freeze did not succeed.
 */
export async function freezeGuest(run: FreezeRun): Promise<number | undefined> {
  const { domain, inspection, plan, scope, timeouts } = run;
  if (plan.quiesce === 'off') return undefined;
  if (inspection.agent !== 'answers') {
    warn(run, `no guest agent answers; the image will be crash-consistent`);
    return undefined;
  }
  try {
    await domain.agentSetResponseTimeout(Math.ceil(timeouts.freezeMs / 1000));
    return await scope.perform(freeze, null, async () => {
      const since = performance.now();
      await domain.fsFreeze();
      return since;
    });
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    if (plan.quiesce === 'require') throw notQuiesced(run, error);
    warn(run, `the freeze failed (${error.message}); the image will be crash-consistent`);
    await scope.takeBack(freeze);
    return undefined;
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
