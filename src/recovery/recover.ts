// Mends what dead runs left: the guest first, then the image, from their journals alone.
import type { Config } from '../config/config.ts';
import { messageOf, PublishError } from '../core/errors.ts';
import { listener, type OnEvent } from '../core/events.ts';
import { withoutSecrets } from '../core/secrets.ts';
import type { UndoFailure } from '../run/guest-scope.ts';
import type { RunFacts } from '../run/journal/journal.ts';
import { notedRemarks } from '../run/journal/remarks.ts';
import { removeRunFolder } from '../run/journal/run-folder.ts';
import { sweepScratch } from '../run/journal/scratch-folder.ts';
import { lockDomain } from '../run/lock/lock.ts';
import { endOrphans } from '../run/lock/orphans.ts';
import { ownScratch, removeDeadRun } from '../run/remove-run.ts';
import { restoreGuest } from '../run/restore-guest.ts';
import { type RunOnDisk, readRun, readRuns } from '../run/runs.ts';
import { mendImage } from './mend-image.ts';
import { mendVolumes } from './mend-volumes.ts';
import { canResume, type RunStatus, statusOf } from './run-status.ts';

export { resolveRefs } from './resolve-refs.ts';
export type { RunStatus } from './run-status.ts';

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
  outcome: 'mended' | 'published' | 'skipped' | 'failed';
  /** The image's status now; null where it has no record, or could not be asked for. */
  image: string | null;
  remarks: string[];
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
    ...{ outcome: 'skipped', remarks: [], error: null },
  };
  if (run.state === 'going') return { ...told, remarks: ['it is going'] };
  if (run.state === 'elsewhere') return { ...told, remarks: [ELSEWHERE] };
  if (run.state === 'untrusted') return { ...told, remarks: [untrusted(run)] };
  if (run.state === 'unreadable') return { ...told, outcome: 'failed', error: unreadable(run) };
  try {
    if (!facts) await removeRunFolder({ path: run.path, scratch: run.path });
    else await underLock(config, { runId, domain: facts.domain }, told, options);
  } catch (error) {
    const isBusy = error instanceof PublishError && error.code === 'DOMAIN_BUSY';
    if (isBusy) return { ...told, outcome: 'skipped', remarks: [messageOf(error)] };
    return { ...told, outcome: 'failed', error: asPublishError(error) };
  }
  return told.outcome === 'skipped' ? { ...told, outcome: 'mended' } : told;
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
    if (run?.facts) await mend(config, run, run.facts, { told, options });
  } finally {
    await lock.release();
  }
}

async function mend(
  config: State,
  run: RunOnDisk,
  facts: RunFacts,
  { told, options }: { told: RecoveredRun; options: RecoverOptions },
): Promise<void> {
  const { signal = new AbortController().signal } = options;
  const onEvent = listener(options.onEvent);
  const onRemark = (text: string) => {
    const remark = withoutSecrets(text);
    told.remarks.push(remark);
    onEvent({ type: 'note', level: 'warning', step: 'restore', message: remark });
  };
  notedRemarks(run.entries).forEach(onRemark);
  const scratch = await ownScratch(run, facts, onRemark);
  await endOrphans(scratch);
  const abandonThaw = options.abandonThaw === true;
  const failures = await restoreGuest(run.path, { onRemark, abandonThaw });
  const resume = options.resume === true && failures.length === 0 && canResume(run);
  try {
    const image = await mendImage(config, run, facts, { resume, onEvent, signal, onRemark });
    told.image = image.status;
    await mendVolumes(config, run, facts, { status: image.status, onEvent, onRemark, signal });
    told.outcome = image.published ? 'published' : 'mended';
  } catch (error) {
    // The guest is what must be told of, whatever else went wrong.
    if (failures.length === 0) throw error;
    onRemark(`the image is not mended: ${messageOf(error)}`);
  }
  if (failures.length > 0) throw notRestored(run, facts.domain.name, failures);
  await removeDeadRun({ path: run.path, scratch }, facts.uri, config.timeouts.libvirtMs);
}

function notRestored(
  { runId }: RunOnDisk,
  name: string,
  undoFailures: readonly UndoFailure[],
): PublishError {
  const mend = undoFailures.map((failure) => failure.mend).join(' && ');
  const what = undoFailures.map(({ message }) => message).join('; ');
  const message = `domain ${name} of run ${runId} could not be put back as it was: ${what}`;
  return new PublishError('GUEST_NOT_RESTORED', message, { step: 'restore', undoFailures, mend });
}

function asPublishError(error: unknown): PublishError {
  if (error instanceof PublishError) return error;
  return new PublishError('INTERNAL', messageOf(error), { step: 'restore', cause: error });
}
