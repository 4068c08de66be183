// `virt-publish status`: lists the runs of this host, and what is pending recovery.
import type { Command } from 'commander';
import type { RunStatus } from '../../recovery/recover.ts';
import type { SetExitCode } from '../exit-codes.ts';
import type { GlobalFlags } from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';

const COLUMNS = ['RUN', 'DOMAIN', 'STATE', 'STARTED', 'LAST STEP', 'PENDING RECOVERY'];

export function addStatusCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('status')
    .summary('show the runs of this host')
    .description(
      'Lists the runs of this host: running, restoring the guest, or crashed and pending recovery.',
    );
  command.action(async () => {
    const flags = command.optsWithGlobals<GlobalFlags>();
    const { runCommand } = await import('../run-command.ts');
    setExitCode(await runCommand({ flags }, status));
  });
}

async function status({ config }: CommandContext): Promise<Product> {
  const { listRuns } = await import('../../recovery/recover.ts');
  const runs = await listRuns(config);
  const { formatTable } = await import('../views/table.ts');
  const { formatDate, printable } = await import('../views/format.ts');
  const rows = runs.map((run) => [
    run.runId,
    printable(run.domain?.name ?? '-'),
    run.state,
    run.startedAt === null ? '-' : formatDate(run.startedAt),
    run.last ?? '-',
    pendingUndo(run),
  ]);
  const titles = COLUMNS.map((title) => ({ title }));
  return { text: formatTable(titles, rows), json: { runs } };
}

function pendingUndo({ state, pendingUndo: acts, resumable }: RunStatus): string {
  if (state === 'running' || state === 'foreign') return '-';
  if (state === 'unreadable') return 'unreadable: see virt-publish recover';
  if (state === 'untrusted') return 'untrusted: see virt-publish recover';
  const guest = acts.length === 0 ? 'files' : `guest (${acts.join(', ')}), files`;
  return resumable ? `${guest}; recover --resume can publish its image` : guest;
}
