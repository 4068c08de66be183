// `virt-publish completion`: prints the completion script of a shell; and the hidden command that such a script asks.
import { readFileSync } from 'node:fs';
import type { Command } from 'commander';
import { programUrl } from '../../core/package-files.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { standardOutput } from '../output/standard-streams.ts';

const SHELLS = ['bash', 'zsh', 'fish'] as const;

/** How long the shell has to read the values that were found. */
const LEAVE_MS = 200;

const HOW_TO_LOAD = `
Load it in the current shell, or write it to a file that the shell reads:
  bash   eval "$(virt-publish completion bash)"
         virt-publish completion bash > /etc/bash_completion.d/virt-publish
  zsh    eval "$(virt-publish completion zsh)"     after compinit
         virt-publish completion zsh > DIR/_virt-publish     DIR of $fpath
  fish   virt-publish completion fish | source
         virt-publish completion fish > ~/.config/fish/completions/virt-publish.fish
`;

export function addCompletionCommand(program: Command, setExitCode: SetExitCode): void {
  program
    .command('completion')
    .addArgument(program.createArgument('<shell>', 'bash, zsh or fish').choices(SHELLS))
    .summary('print a completion script for bash, zsh or fish')
    .description(
      'Prints a script that completes commands, flags, their values, domains, images and aliases.',
    )
    .addHelpText('after', HOW_TO_LOAD)
    .action((shell: string) => {
      const script = readFileSync(programUrl(`completion/virt-publish.${shell}`), 'utf8');
      void standardOutput().write(script);
      setExitCode(0);
    });
  program
    .command('__complete', { hidden: true })
    .argument('[words...]')
    .action(async (words: string[]) => {
      const { complete } = await import('../completion/complete.ts');
      const { text, isLate } = await complete(program, words);
      void standardOutput().write(text);
      setExitCode(0);
      if (isLate) await endProcess();
    });
}

/** NOTE: `process.exit` waits for threads, and one that hangs in libvirt would hold it. */
async function endProcess(): Promise<void> {
  await standardOutput().finish(LEAVE_MS);
  (await import('../../host/native/exit-at-once.ts')).exitAtOnce(0);
}
