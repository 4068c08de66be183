// Checks that the guest can be quiesced if the policy requires it. Pure.
import { PublishError } from '../core/errors.ts';
import type { CaptureMode, QuiescePolicy } from '../core/model.ts';
import type { Inspection } from '../domain/inspect.ts';

/** @throws PublishError QUIESCE if the policy is `require` and no agent answers. */
export function assertQuiescable(
  { name, agent, state }: Pick<Inspection, 'name' | 'agent' | 'state'>,
  mode: CaptureMode,
  quiesce: QuiescePolicy,
): void {
  if (mode !== 'live' || quiesce !== 'require') return;
  if (agent === 'answers' || agent === 'frozen') return;
  const why =
    state === 'paused'
      ? 'is paused, so its agent cannot answer'
      : agent === 'none'
        ? 'has no guest agent channel (org.qemu.guest_agent.0)'
        : 'has an agent channel, but no agent answers on it';
  throw new PublishError('QUIESCE', `domain ${name} ${why}`, {
    step: 'inspect',
    hint: 'start qemu-guest-agent in the guest, or use --quiesce try',
  });
}
