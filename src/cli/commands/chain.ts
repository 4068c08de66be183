// `virt-publish chain`: shows the backing chain of a disk, and shortens it while the guest runs.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { ChainOptions, CommitChainOptions } from '../../operations/chain/chain-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { CONNECT, type GlobalFlags, given } from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { wholeRateValue } from '../values.ts';

type ChainFlags = GlobalFlags &
  Pick<CommitChainOptions, 'disk' | 'connect' | 'base' | 'top' | 'delete'> & { bandwidth?: number };

type Work = (
  options: ChainOptions & CommitChainOptions,
  context: CommandContext,
) => Promise<Product>;

const RESTORING = {
  first: 'stopping: ending the block job first…',
  again: 'ending the block job, please wait',
};

export function addChainCommand(program: Command, setExitCode: SetExitCode): void {
  const chain = program
    .command('chain')
    .summary("show a disk's backing chain; shorten it while the guest runs")
    .description(
      'Shows and shortens the backing chain of a disk. An interrupted commit or pull leaves a chain\nwith the same data, and no block job.',
    );
  onDisk(chain, 'show', 'Shows the layers of a disk with their sizes.', setExitCode, show);
  const commit = onDisk(
    chain,
    'commit',
    'Writes layers down into one below them. The base changes: refused if another disk uses it.',
    setExitCode,
    shortenWith('commitChain'),
  );
  commit
    .option('--base <file>', 'the layer that is written to (default: the lowest)')
    .option('--top <file>', 'the highest layer that goes into it (default: the active one)');
  const pull = onDisk(
    chain,
    'pull',
    'Writes layers up into the active one. Layers below do not change.',
    setExitCode,
    shortenWith('pullChain'),
  );
  pull.option('--base <file>', 'the layer that stays below (default: none)');
  for (const command of [commit, pull])
    command
      .option(
        '--bandwidth <MiB/s>',
        'cap of the job, such as 100 or 100M; 0 is none (default: 0)',
        wholeRateValue,
      )
      .option('--delete', 'remove the files that nothing uses any more');
}

function onDisk(
  parent: Command,
  name: string,
  description: string,
  setExitCode: SetExitCode,
  work: Work,
): Command {
  const command = parent
    .command(name)
    .description(description)
    .argument('<domain>', 'name, UUID or id of the domain')
    .option('--disk <target>', 'target of a disk, such as vda (default: the root disk)')
    .option(...CONNECT);
  return command.action(async (domain: string) => {
    const flags = command.optsWithGlobals<ChainFlags>();
    const { runCommand } = await import('../run-command.ts');
    const overrides = given({ connect: flags.connect });
    const frame = { flags, overrides, words: RESTORING, holdsGuest: true };
    setExitCode(
      await runCommand(frame, (context) => work(toOptions(domain, flags, context), context)),
    );
  });
}

function toOptions(
  domain: string,
  flags: ChainFlags,
  { signal, onEvent }: CommandContext,
): CommitChainOptions {
  const { disk, base, top, bandwidth: bandwidthMib, delete: remove } = flags;
  const paths = { base: base && resolve(base), top: top && resolve(top) };
  return { domain, signal, onEvent, ...given({ disk, ...paths, bandwidthMib, delete: remove }) };
}

async function show(options: ChainOptions, { config }: CommandContext): Promise<Product> {
  const { showChain } = await import('../../operations/chain/chain.ts');
  const chain = await showChain(options, config);
  const { formatChain } = await import('../views/chain-view.ts');
  return { text: formatChain(chain), json: { chain } };
}

function shortenWith(call: 'commitChain' | 'pullChain'): Work {
  return async (options, { config }) => {
    const chain = await import('../../operations/chain/chain.ts');
    const result = await chain[call](options, config);
    const { formatShortened } = await import('../views/chain-view.ts');
    return { text: formatShortened(result), json: { ...result } };
  };
}
