// From what a user types to runs and domains: ids, beginnings of ids, names.
import { PublishError } from '../core/errors.ts';
import { type RunOnDisk, readRuns } from '../run/runs.ts';

/** Shorter ones are taken for names of domains. */
const PREFIX = /^[0-9a-f]{4}[0-9a-f-]*$/;
/** What nobody calls a domain. */
const ID = /^[0-9a-f]{8}[0-9a-f-]*$/;

/**
 * Returns the references with each beginning of a run's id as the whole id. The name of a domain that
 * has no run stays: there may be nothing to recover of it.
 * @throws USAGE if an id, or the beginning of one, is of no run, or of several
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
  if (found.length > 1) throw usage(`several runs have an id that begins with ${ref}`, found);
  if (run !== undefined) return run;
  if (!ID.test(ref)) return ref;
  throw usage(
    `no run that has left anything is ${ref}, or is of a domain with that UUID`,
    runs.map(({ runId }) => runId),
  );
}

const SHOWN = 5;

function usage(what: string, runs: readonly string[]): PublishError {
  const more = runs.length > SHOWN ? ' and more' : '';
  const there = runs.length === 0 ? 'none has' : runs.slice(0, SHOWN).join(', ') + more;
  const message = `${what}; virt-publish status shows those that have: ${there}`;
  return new PublishError('USAGE', message, { step: 'restore' });
}
