// Recovers dead runs from their journals: the guest first, then the image.
import type { Config } from '../config/config.ts';
import { messageOf, PublishError } from '../core/errors.ts';
import { listener, type OnEvent } from '../core/events.ts';
import { withoutSecrets } from '../core/secrets.ts';
import type { UndoFailure } from '../run/guest-scope.ts';
import type { RunFacts } from '../run/journal/journal.ts';
import { readNotes } from '../run/journal/notes.ts';
import { removeRunFolder } from '../run/journal/run-folder.ts';
import { sweepScratch } from '../run/journal/scratch-folder.ts';
import { endLeftovers } from '../run/lock/leftovers.ts';
import { lockDomain } from '../run/lock/lock.ts';
import { ownScratch, removeDeadRun } from '../run/remove-run.ts';
import { restoreGuest } from '../run/restore-guest.ts';
import { type RunOnDisk, readRun, readRuns } from '../run/runs.ts';
import { recoverImage } from './recover-image.ts';
import { recoverVolumes } from './recover-volumes.ts';
import { canResume, isRecent, type RunStatus, statusOf } from './run-status.ts';

export { resolveRefs } from './resolve-refs.ts';
export type { RunStatus } from './run-status.ts';

/** What is recovered, and how. */
export interface RecoverOptions {
  /** Runs by id, or domains by name or UUID; all runs if left out. */
  refs?: readonly string[];
  /** Publishes the images of runs whose image file is complete. */
  resume?: boolean;
  /** Abandons the thaw of a guest that cannot be thawed: it may stay frozen until it is reset. */
  abandonThaw?: boolean;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

/** The outcome for one run. */
export interface RecoveredRun {
  runId: string;
  domain: string | null;
  /** `skipped`: it is running, or another process recovers it now. */
  outcome: 'recovered' | 'published' | 'skipped' | 'failed';
  /** The image's status now; null if it has no record, or the registry did not answer. */
  image: string | null;
  notes: string[];
  error: PublishError | null;
}

type State = Pick<Config, 'stateDir' | 'workDir' | 'upload' | 'timeouts' | 'reserve'>;

/** How long a guard that restores the guest is waited for. */
const WAIT_FOR_GUARD_MS = 15_000;

/** Returns the runs that have a folder in the state directory, the oldest first. */
export async function listRuns(config: Pick<Config, 'stateDir'>): Promise<RunStatus[]> {
  return (await readRuns(config.stateDir)).map(statusOf);
}

/**
 * Recovers dead runs, each independently of the others; safe to repeat, and while other commands run.
 * A run that could not be recovered keeps its folder; its error is in the result.
 * @throws PublishError WORK_DIR if the state directory is unreadable or not trusted.
 */
export async function recoverRuns(
  config: State,
  options: RecoverOptions = {},
): Promise<RecoveredRun[]> {
  const results: RecoveredRun[] = [];
  for (const run of await readRuns(config.stateDir)) {
    if (isMeant(run, options.refs)) results.push(await recoverRun(config, run, options));
  }
  if (!options.refs || options.refs.length === 0) await sweep(config, options);
  return results;
}

/** Removes the leftovers of imports and pulls in the work directory, which are no runs. */
async function sweep({ workDir }: State, { onEvent: given }: RecoverOptions) {
  const onEvent = listener(given);
  const note = (level: 'info' | 'warning', message: string) =>
    onEvent({ type: 'note', level, step: 'restore', message });
  await sweepScratch(workDir, {
    onRemoved: (folder) => note('info', `removed ${folder}, a leftover of a process that died`),
    onFailed: (folder, error) => note('warning', `cannot remove ${folder}: ${messageOf(error)}`),
  });
}

function isMeant({ runId, facts }: RunOnDisk, refs: readonly string[] | undefined): boolean {
  if (!refs || refs.length === 0) return true;
  const names = [runId, facts?.domain.name, facts?.domain.uuid];
  return refs.some((ref) => names.includes(ref));
}

async function recoverRun(
  config: State,
  run: RunOnDisk,
  options: RecoverOptions,
): Promise<RecoveredRun> {
  const { runId, facts } = run;
  const result: RecoveredRun = {
    ...{ runId, domain: facts?.domain.name ?? null, image: null },
    ...{ outcome: 'skipped', notes: [], error: null },
  };
  if (run.state === 'running') return { ...result, notes: ['it is running'] };
  if (run.state === 'foreign') return { ...result, notes: [FOREIGN] };
  if (run.state === 'untrusted') return { ...result, notes: [untrusted(run)] };
  if (run.state === 'unreadable') return { ...result, outcome: 'failed', error: unreadable(run) };
  try {
    if (!facts) await removeRunFolder({ path: run.path, scratch: run.path });
    else await underLock(config, { runId, domain: facts.domain }, result, options);
  } catch (error) {
    const isBusy = error instanceof PublishError && error.code === 'DOMAIN_BUSY';
    if (isBusy) return { ...result, outcome: 'skipped', notes: [messageOf(error)] };
    return { ...result, outcome: 'failed', error: asPublishError(error) };
  }
  return result.outcome === 'skipped' ? { ...result, outcome: 'recovered' } : result;
}

const FOREIGN =
  'it belongs to another host that shares the state directory; run virt-publish recover there';

function untrusted({ path, error }: RunOnDisk): string {
  return `${messageOf(error)}, so its journal is not trusted and not read; remove ${path} by hand`;
}

function unreadable({ runId, path, error }: RunOnDisk): PublishError {
  const message = `cannot read run ${runId} in ${path}: ${messageOf(error)}`;
  const hint = `check its domain and its folder, then remove ${path} by hand`;
  return new PublishError('WORK_DIR', message, { step: 'restore', cause: error, hint });
}

async function underLock(
  config: State,
  { runId, domain }: { runId: string; domain: { name: string; uuid: string } },
  result: RecoveredRun,
  options: RecoverOptions,
): Promise<void> {
  const lock = await lockDomain(domain, runId, { role: 'recover', waitMs: WAIT_FOR_GUARD_MS });
  try {
    const run = await readRun(config.stateDir, runId);
    // Another process may have recovered it while this one waited for the lock.
    if (run?.facts) await recoverParts(config, run, run.facts, { result, options });
  } finally {
    await lock.release();
  }
}

async function recoverParts(
  config: State,
  run: RunOnDisk,
  facts: RunFacts,
  { result, options }: { result: RecoveredRun; options: RecoverOptions },
): Promise<void> {
  const { signal = new AbortController().signal } = options;
  const onEvent = listener(options.onEvent);
  const onNote = (text: string) => {
    const note = withoutSecrets(text);
    result.notes.push(note);
    onEvent({ type: 'note', level: 'warning', step: 'restore', message: note });
  };
  readNotes(run.entries).forEach(onNote);
  const scratch = await ownScratch(run, facts, onNote);
  await endLeftovers(scratch);
  const abandonThaw = options.abandonThaw === true;
  const justDied = isRecent(run);
  const failures = await restoreGuest(run.path, { onNote, abandonThaw, justDied });
  const resume = options.resume === true && failures.length === 0 && canResume(run);
  try {
    const image = await recoverImage(config, run, facts, { resume, onEvent, signal, onNote });
    result.image = image.status;
    await recoverVolumes(config, run, facts, { status: image.status, onEvent, onNote, signal });
    result.outcome = image.published ? 'published' : 'recovered';
  } catch (error) {
    // The error about the guest comes first.
    if (failures.length === 0) throw error;
    onNote(`the image is not recovered: ${messageOf(error)}`);
  }
  if (failures.length > 0) throw notRestored(run, facts.domain.name, failures);
  await removeDeadRun({ path: run.path, scratch }, facts.uri, config.timeouts.libvirtMs);
}

function notRestored(
  { runId }: RunOnDisk,
  name: string,
  undoFailures: readonly UndoFailure[],
): PublishError {
  const recoveryCommand = undoFailures.map((failure) => failure.recoveryCommand).join(' && ');
  const what = undoFailures.map(({ message }) => message).join('; ');
  const message = `cannot restore the guest of domain ${name} after run ${runId}: ${what}`;
  return new PublishError('GUEST_NOT_RESTORED', message, {
    step: 'restore',
    undoFailures,
    recoveryCommand,
  });
}

function asPublishError(error: unknown): PublishError {
  if (error instanceof PublishError) return error;
  return new PublishError('INTERNAL', messageOf(error), { step: 'restore', cause: error });
}
