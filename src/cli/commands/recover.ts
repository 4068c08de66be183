// `virt-publish recover`: restores guests of crashed runs, and removes what those left.
import type { Command } from 'commander';
import { PublishError } from '../../core/errors.ts';
import { printable } from '../../core/printable.ts';
import type { RecoveredRun } from '../../recovery/recover.ts';
import type { SetExitCode } from '../exit-codes.ts';
import type { GlobalFlags } from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';

type RecoverFlags = GlobalFlags & { resume?: boolean; abandonThaw?: boolean };

const RESTORING = {
  first: 'stopping: finishing the current step first…',
  again: 'restoring guests, please wait',
};

export function addRecoverCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('recover')
    .argument(
      '[run-or-domain...]',
      'runs by id or its beginning, domains by name or UUID (default: all)',
    )
    .summary('finish or undo crashed runs')
    .description(
      'Restores guests as they were before a run that crashed, and removes its files and its image.\nLeaves running runs alone. Safe to run at any time.',
    )
    .option('--resume', 'publish images that are complete, instead of removing them')
    .option(
      '--abandon-thaw',
      'give up thawing a guest whose agent does not answer: its file systems may stay frozen until a reset',
    );
  command.action(async (refs: string[]) => {
    const flags = command.optsWithGlobals<RecoverFlags>();
    const { runCommand } = await import('../run-command.ts');
    const frame = { flags, words: RESTORING, holdsGuest: true };
    setExitCode(await runCommand(frame, (context) => recover(refs, flags, context)));
  });
}

async function recover(
  given: string[],
  flags: RecoverFlags,
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const { recoverRuns, resolveRefs } = await import('../../recovery/recover.ts');
  const refs = await resolveRefs(config.stateDir, given);
  const resume = flags.resume === true;
  const abandonThaw = flags.abandonThaw === true;
  const runs = await recoverRuns(config, { refs, resume, abandonThaw, signal, onEvent });
  for (const run of runs) {
    const level = run.outcome === 'failed' ? 'warning' : 'info';
    onEvent({ type: 'note', level, step: 'restore', message: describe(run) });
  }
  const failure = worstOf(runs);
  if (failure) throw failure;
  const lines = runs.map((run) => printable(describe(run)));
  const nothing = `nothing to recover${refs.length === 0 ? '' : ` of ${printable(refs.join(', '))}`}`;
  const report = runs.length === 0 ? nothing : lines.join('\n');
  const text = flags.quiet === true ? '' : report;
  return { text, json: { runs: runs.map(({ error: _, ...run }) => run) } };
}

function describe({ runId, domain, outcome, image, notes, error }: RecoveredRun): string {
  const what = error?.message ?? (image === null ? 'no image' : `image ${image}`);
  const words = outcome === 'skipped' ? notes.join('; ') : what;
  return `${runId} on ${domain ?? 'no domain'}: ${outcome}, ${words}`;
}

/** The error of a guest that is not restored comes first. */
function worstOf(runs: readonly RecoveredRun[]): PublishError | undefined {
  const errors = runs.flatMap(({ error }) => (error ? [error] : []));
  const [first = undefined] = [
    ...errors.filter(({ code }) => code === 'GUEST_NOT_RESTORED'),
    ...errors,
  ];
  if (!first || errors.length === 1) return first;
  const others = errors.filter((error) => error !== first);
  return new PublishError(first.code, first.message, {
    ...{ step: 'restore', cause: first, retryable: first.retryable, hint: first.hint },
    undoFailures: [...first.undoFailures, ...others],
    ...(first.recoveryCommand === undefined ? {} : { recoveryCommand: first.recoveryCommand }),
  });
}
