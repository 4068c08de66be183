// Mends what dead runs left: the guest first, then the image, from their journals alone.
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
import { canResume, type RunStatus, statusOf } from './run-status.ts';

export { resolveRefs } from './resolve-refs.ts';
export type { RunStatus } from './run-status.ts';

/** What is recovered, and how. */
export interface RecoverOptions {
  /** Runs by id, or domains by name or UUID; all where left out. */
  refs?: readonly string[];
  /** Runs whose image file is whole are published after all. */
  resume?: boolean;
  /** The thaw of a guest that cannot be thawed is given up: it may stay frozen until it is reset. */
  abandonThaw?: boolean;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

/** What became of one run. */
export interface RecoveredRun {
  runId: string;
  domain: string | null;
  /** `skipped`: it is going, or somebody else mends it just now. */
  outcome: 'recovered' | 'published' | 'skipped' | 'failed';
  /** The image's status now; null where it has no record, or could not be asked for. */
  image: string | null;
  notes: string[];
  error: PublishError | null;
}

type State = Pick<Config, 'stateDir' | 'workDir' | 'upload' | 'timeouts' | 'reserve'>;

/** How long a guard that is at work is waited for. */
const WAIT_FOR_GUARD_MS = 15_000;

/** The runs that have left something in the state directory, the oldest first. */
export async function listRuns(config: Pick<Config, 'stateDir'>): Promise<RunStatus[]> {
  return (await readRuns(config.stateDir)).map(statusOf);
}

/**
 * Mends dead runs, each by itself whatever became of the others; safe to run again, and beside
 * anything else. A run whose guest or image could not be mended keeps its folder and its error.
 * @throws only where the state directory cannot be read.
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

/** What an import or a pull left in the work directory is no run: it touched no guest. */
async function sweep({ workDir }: State, { onEvent: given }: RecoverOptions) {
  const onEvent = listener(given);
  const note = (level: 'info' | 'warning', message: string) =>
    onEvent({ type: 'note', level, step: 'restore', message });
  await sweepScratch(workDir, {
    onRemoved: (folder) => note('info', `removed ${folder}, which a process that died had left`),
    onFailed: (folder, error) => note('warning', `${folder} stays: ${messageOf(error)}`),
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
  const told: RecoveredRun = {
    ...{ runId, domain: facts?.domain.name ?? null, image: null },
    ...{ outcome: 'skipped', notes: [], error: null },
  };
  if (run.state === 'running') return { ...told, notes: ['it is going'] };
  if (run.state === 'foreign') return { ...told, notes: [ELSEWHERE] };
  if (run.state === 'untrusted') return { ...told, notes: [untrusted(run)] };
  if (run.state === 'unreadable') return { ...told, outcome: 'failed', error: unreadable(run) };
  try {
    if (!facts) await removeRunFolder({ path: run.path, scratch: run.path });
    else await underLock(config, { runId, domain: facts.domain }, told, options);
  } catch (error) {
    const isBusy = error instanceof PublishError && error.code === 'DOMAIN_BUSY';
    if (isBusy) return { ...told, outcome: 'skipped', notes: [messageOf(error)] };
    return { ...told, outcome: 'failed', error: asPublishError(error) };
  }
  return told.outcome === 'skipped' ? { ...told, outcome: 'recovered' } : told;
}

const ELSEWHERE =
  'it is of another host, with which the state directory is shared; run virt-publish recover there';

function untrusted({ path, error }: RunOnDisk): string {
  return `${messageOf(error)}, so its journal may say anything and is not read; remove ${path} by hand`;
}

function unreadable({ runId, path, error }: RunOnDisk): PublishError {
  const message = `run ${runId} cannot be read: ${messageOf(error)}; see to ${path}, and remove it where its domain is well`;
  return new PublishError('WORK_DIR', message, { step: 'restore', cause: error });
}

async function underLock(
  config: State,
  { runId, domain }: { runId: string; domain: { name: string; uuid: string } },
  told: RecoveredRun,
  options: RecoverOptions,
): Promise<void> {
  const lock = await lockDomain(domain, runId, { role: 'recover', waitMs: WAIT_FOR_GUARD_MS });
  try {
    const run = await readRun(config.stateDir, runId);
    // Somebody else has mended it while the lock was waited for.
    if (run?.facts) await recoverParts(config, run, run.facts, { told, options });
  } finally {
    await lock.release();
  }
}

async function recoverParts(
  config: State,
  run: RunOnDisk,
  facts: RunFacts,
  { told, options }: { told: RecoveredRun; options: RecoverOptions },
): Promise<void> {
  const { signal = new AbortController().signal } = options;
  const onEvent = listener(options.onEvent);
  const onNote = (text: string) => {
    const note = withoutSecrets(text);
    told.notes.push(note);
    onEvent({ type: 'note', level: 'warning', step: 'restore', message: note });
  };
  readNotes(run.entries).forEach(onNote);
  const scratch = await ownScratch(run, facts, onNote);
  await endLeftovers(scratch);
  const abandonThaw = options.abandonThaw === true;
  const failures = await restoreGuest(run.path, { onNote, abandonThaw });
  const resume = options.resume === true && failures.length === 0 && canResume(run);
  try {
    const image = await recoverImage(config, run, facts, { resume, onEvent, signal, onNote });
    told.image = image.status;
    await recoverVolumes(config, run, facts, { status: image.status, onEvent, onNote, signal });
    told.outcome = image.published ? 'published' : 'recovered';
  } catch (error) {
    // The guest is what must be told of, whatever else went wrong.
    if (failures.length === 0) throw error;
    onNote(`the image is not mended: ${messageOf(error)}`);
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
  const message = `domain ${name} of run ${runId} could not be put back as it was: ${what}`;
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
