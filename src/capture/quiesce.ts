// Freezes the guest's file systems if the policy wants it and the agent can, and thaws them.
import { messageOf, PublishError } from '../core/errors.ts';
import type { Consistency } from '../core/model.ts';
import { neededAgentLimit } from '../libvirt/agent-timeout.ts';
import { isFrozen, isFrozenAnswer } from '../libvirt/ask-agent.ts';
import { isLibvirtError } from '../libvirt/errors.ts';
import { agentLimit, freeze } from '../run/acts/freeze-act.ts';
import type { CaptureRun } from './capture-run.ts';
import { withHoldDeadline } from './hold-deadline.ts';

const SLACK_MS = 1000;

const THAW_TRIES = 2;

/** The part of a run that a freeze needs. */
export type FreezeRun = Pick<CaptureRun, 'domain' | 'scope' | 'onEvent'> & {
  host: Pick<CaptureRun['host'], 'abandonWork'>;
  inspection: Pick<CaptureRun['inspection'], 'name' | 'agent'>;
  plan: Pick<CaptureRun['plan'], 'quiesce'>;
  /** How long this guest may stay frozen, in milliseconds. */
  freezeLimitMs: number;
};

/** A guest whose file systems are frozen. */
export interface FrozenGuest {
  /** False if another client froze them, which also thaws them. */
  byRun: boolean;
  /** When the freeze was requested, or seen (`performance.now()`). */
  since: number;
}

/** The result of a freeze, after the thaw. */
export interface Thawed {
  consistency: Consistency;
  /** How long this run kept the file systems frozen; null if it did not. */
  freezeMs: number | null;
}

/**
 * Freezes the guest. Resolves to undefined if the guest is not frozen now. `scope` thaws what this run
 * froze, in any case; a freeze of another client stays.
 *
 * NOTE: a freeze without an answer may still have frozen the guest. It stays pending in the scope, and
 * is thawed like one that succeeded.
 * @throws PublishError QUIESCE if the policy is `require` and no file system is frozen.
 */
export async function freezeGuest(run: FreezeRun): Promise<FrozenGuest | undefined> {
  const { inspection, plan, scope } = run;
  if (plan.quiesce === 'off') return undefined;
  if (inspection.agent === 'none' || inspection.agent === 'silent') {
    return notFrozen(run, 'no guest agent answers');
  }
  const { state } = await run.domain.getState();
  if (state === 'paused') return notFrozen(run, 'the guest is paused, so its agent cannot answer');
  try {
    return await freezeUnlessFrozen(run);
  } catch (error) {
    // NOTE: the hold deadline's PublishError passes through, and the scope thaws.
    if (!isLibvirtError(error)) throw error;
    if (plan.quiesce === 'require') throw notQuiesced(run, error.message, error);
    notFrozen(run, `the freeze failed (${error.message})`);
    await scope.undo(freeze);
    await scope.undo(agentLimit);
    return undefined;
  }
}

async function freezeUnlessFrozen(run: FreezeRun): Promise<FrozenGuest | undefined> {
  const { domain, scope, freezeLimitMs } = run;
  const limit = await neededAgentLimit(domain, freezeLimitMs);
  if (limit) {
    await scope.perform(agentLimit, limit, () => domain.agentSetResponseTimeout(limit.limitS));
  }
  if (await isFrozen(domain, freezeLimitMs)) return frozenAlready(run);
  const runtime = await domain.runtime();
  try {
    const [since, count] = await scope.perform(freeze, { runtime }, async () => {
      const asked = performance.now();
      // libvirt's limit for the agent comes first, if libvirt answers.
      const deadline = { host: run.host, ms: freezeLimitMs + SLACK_MS };
      return [asked, await withHoldDeadline(deadline, () => domain.fsFreeze())] as const;
    });
    if (count > 0) return { byRun: true, since };
  } catch (error) {
    // Another client froze the guest first, and a thaw here would end its freeze.
    if (!isFrozenAnswer(error)) throw error;
    await scope.markUndone(freeze);
    return frozenAlready(run);
  }
  // An agent may report a wrong count; a thaw without a freeze does no harm.
  await scope.undo(freeze);
  await scope.undo(agentLimit);
  return notFrozen(run, 'the agent froze no file system');
}

function frozenAlready({ onEvent }: FreezeRun): FrozenGuest {
  const message =
    "another client has frozen the guest's file systems; they are taken as they are, and stay frozen";
  onEvent({ type: 'note', level: 'info', step: 'quiesce', message });
  return { byRun: false, since: performance.now() };
}

/**
 * Thaws what this run froze. An image is `filesystem`-consistent only if the file systems were frozen
 * until now: if the agent thaws none, another client or a reset thawed them before. A thaw that fails
 * stays pending in the scope.
 * @throws PublishError QUIESCE if the policy is `require` and they were not frozen until now.
 */
export async function thawGuest(run: FreezeRun, frozen: FrozenGuest): Promise<Thawed> {
  const { obstacle, at } = frozen.byRun ? await thaw(run) : await lookForThaw(run);
  await run.scope.undo(agentLimit);
  if (obstacle !== undefined) notFrozen(run, obstacle);
  return {
    consistency: obstacle === undefined ? 'filesystem' : 'crash',
    freezeMs: frozen.byRun ? Math.round(at - frozen.since) : null,
  };
}

interface Thaw {
  /** Why the file systems may not have been frozen until now. */
  obstacle?: string;
  at: number;
}

async function thaw({ domain, scope }: FreezeRun): Promise<Thaw> {
  for (let left = THAW_TRIES; ; left -= 1) {
    try {
      const count = await domain.fsThaw();
      const at = performance.now();
      await scope.markUndone(freeze);
      return count > 0 ? { at } : { at, obstacle: 'the agent found no frozen file system to thaw' };
    } catch (error) {
      const obstacle = `the guest was not thawed at once (${messageOf(error)})`;
      if (left === 1) return { at: performance.now(), obstacle };
    }
  }
}

/** Checks that a guest which another client has frozen is still frozen. */
async function lookForThaw({ domain, freezeLimitMs }: FreezeRun): Promise<Thaw> {
  const obstacle = 'another client thawed the guest before its disks were taken';
  try {
    const at = performance.now();
    return (await isFrozen(domain, freezeLimitMs)) ? { at } : { at, obstacle };
  } catch (error) {
    return {
      at: performance.now(),
      obstacle: `${obstacle}, or its agent does not answer (${messageOf(error)})`,
    };
  }
}

/** @throws PublishError QUIESCE if the policy is `require`. */
function notFrozen(run: FreezeRun, why: string): undefined {
  if (run.plan.quiesce === 'require') throw notQuiesced(run, why);
  const message = `${why}; the image will be crash-consistent`;
  run.onEvent({ type: 'note', level: 'warning', step: 'quiesce', message });
  return undefined;
}

function notQuiesced({ inspection }: FreezeRun, why: string, cause?: Error): PublishError {
  return new PublishError(
    'QUIESCE',
    `cannot freeze the guest of domain ${inspection.name}: ${why}`,
    {
      step: 'quiesce',
      hint: 'check qemu-guest-agent in the guest, or use --quiesce try',
      ...(cause === undefined ? {} : { cause }),
    },
  );
}
