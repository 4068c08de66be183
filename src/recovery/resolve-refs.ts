// Resolves the arguments of `recover`: ids of runs, beginnings of ids, names of domains.
import { PublishError } from '../core/errors.ts';
import { type RunOnDisk, readRuns } from '../run/runs.ts';

/** Shorter arguments count as names of domains. */
const PREFIX = /^[0-9a-f]{4}[0-9a-f-]*$/;
/** Too long to be the name of a domain. */
const ID = /^[0-9a-f]{8}[0-9a-f-]*$/;

/**
 * Returns the references, with each beginning of a run's id replaced by the full id. The name of a
 * domain without a run is kept: there may be nothing to recover.
 * @throws USAGE if an id, or its beginning, matches no run, or several
 */
export async function resolveRefs(stateDir: string, refs: readonly string[]): Promise<string[]> {
  if (refs.length === 0) return [];
  const runs = await readRuns(stateDir);
  return refs.map((ref) => resolveRef(ref, runs));
}

function resolveRef(ref: string, runs: readonly RunOnDisk[]): string {
  const isExact = ({ runId, facts }: RunOnDisk) =>
    [runId, facts?.domain.name, facts?.domain.uuid].includes(ref);
  if (runs.some(isExact) || !PREFIX.test(ref)) return ref;
  const found = runs.filter(({ runId }) => runId.startsWith(ref)).map(({ runId }) => runId);
  const [run] = found;
  if (found.length > 1) throw usage(`the ids of several runs begin with ${ref}`, found);
  if (run !== undefined) return run;
  if (!ID.test(ref)) return ref;
  throw usage(
    `no run in the state directory has the id or the domain UUID ${ref}`,
    runs.map(({ runId }) => runId),
  );
}

const SHOWN = 5;

function usage(what: string, runs: readonly string[]): PublishError {
  const more = runs.length > SHOWN ? ' and more' : '';
  const known = runs.length === 0 ? '' : ` (${runs.slice(0, SHOWN).join(', ')}${more})`;
  const hint = 'run virt-publish status to list the runs';
  return new PublishError('USAGE', `${what}${known}`, { step: 'restore', hint });
}
