// The command line: its commands, its help, and its usage errors.
import { readFileSync } from 'node:fs';
import { Command, type CommanderError } from 'commander';
import { PublishError } from '../core/errors.ts';
import { printableJson } from '../core/printable.ts';
import { addAliasCommand } from './commands/alias.ts';
import { addChainCommand } from './commands/chain.ts';
import { addCompletionCommand } from './commands/completion.ts';
import { addConfigCommand } from './commands/config.ts';
import { addCopyCommand } from './commands/copy.ts';
import { addDeactivateCommand } from './commands/deactivate.ts';
import { addDeleteCommand } from './commands/delete.ts';
import { addDoctorCommand } from './commands/doctor.ts';
import { addExplainCommand } from './commands/explain.ts';
import { addGcCommand } from './commands/gc.ts';
import { addImportCommand } from './commands/import.ts';
import { addInspectCommand } from './commands/inspect.ts';
import { addListCommand } from './commands/list.ts';
import { addPruneCommand } from './commands/prune.ts';
import { addPullCommand } from './commands/pull.ts';
import { addReactivateCommand } from './commands/reactivate.ts';
import { addRecoverCommand } from './commands/recover.ts';
import { addShowCommand } from './commands/show.ts';
import { addSnapshotCommand } from './commands/snapshot.ts';
import { addStatusCommand } from './commands/status.ts';
import { addSumsCommand } from './commands/sums.ts';
import { addUpdateCommand } from './commands/update.ts';
import { addUrlCommand } from './commands/url.ts';
import { addVerifyCommand } from './commands/verify.ts';
import { addVolumeSnapshotCommand } from './commands/volume-snapshot.ts';
import type { SetExitCode } from './exit-codes.ts';
import { exitCodeOf, exitCodesHelp } from './exit-codes.ts';
import { addGlobalOptions } from './options.ts';
import { standardError, standardOutput } from './output/standard-streams.ts';

export { crash, exitWhenWritten } from './output/standard-streams.ts';
export { standardError };

const EXAMPLES = `
Examples:
  virt-publish snapshot web01                      live if it can be, cold if not
  virt-publish snapshot web01 --dry-run            what would be done, and why
  virt-publish snapshot web01 --registry s3://images/golden --alias web/latest
  virt-publish list
  virt-publish pull web/latest web.qcow2
  virt-publish status                              runs that are running, or crashed
  virt-publish explain MIRROR                      what an error code means, and what to do
`;

/**
 * Runs the command line.
 * @param argv as process.argv: the first two entries are Node and the script
 * Returns the exit code; everything was printed already.
 */
export async function runCli(argv: readonly string[]): Promise<number> {
  let exitCode = 0;
  const program = buildProgram((code) => {
    exitCode = code;
  });
  try {
    await program.parseAsync(argv);
    return exitCode;
  } catch (error) {
    if (error instanceof CommandUsageError && error.commanderError.exitCode === 0) return 0;
    return await reportUsageError(argv.slice(2), error);
  }
}

/** The commands, with no work done yet. */
export function buildProgram(setExitCode: SetExitCode): Command {
  const program = new Command('virt-publish')
    .description(
      'Takes an image from a running libvirt domain and publishes it, with its metadata,\nto an S3 bucket or a directory.',
    )
    .version(packageVersion(), '-V, --version', 'print the version')
    .helpOption('-h, --help', 'print help')
    .helpCommand('help [command]', 'print help for a command')
    .configureHelp({ showGlobalOptions: true, helpWidth: 100 })
    .configureOutput({
      writeOut: (text) => void standardOutput().write(text),
      writeErr: (text) => void standardError().write(text),
      outputError: () => undefined,
    })
    .addHelpText('after', `${EXAMPLES}\n${exitCodesHelp()}`);
  addGlobalOptions(program);
  const add = [
    addSnapshotCommand,
    addVolumeSnapshotCommand,
    addInspectCommand,
    addListCommand,
    addShowCommand,
    addPullCommand,
  ];
  const change = [addUpdateCommand, addDeactivateCommand, addReactivateCommand, addDeleteCommand];
  const keep = [addAliasCommand, addVerifyCommand, addSumsCommand, addCopyCommand];
  const clean = [addPruneCommand, addGcCommand];
  const transfer = [addImportCommand, addUrlCommand, addDoctorCommand];
  const recovery = [addChainCommand, addStatusCommand, addRecoverCommand, addConfigCommand];
  const manual = [addExplainCommand, addCompletionCommand];
  for (const addCommand of [
    ...add,
    ...change,
    ...keep,
    ...clean,
    ...transfer,
    ...recovery,
    ...manual,
  ])
    addCommand(program, setExitCode);
  nameCommandInErrors(program);
  return program;
}

/** A usage error of commander, and the command that raised it. */
class CommandUsageError extends Error {
  readonly command: Command;
  readonly commanderError: CommanderError;

  constructor(command: Command, commanderError: CommanderError) {
    super(commanderError.message);
    this.command = command;
    this.commanderError = commanderError;
  }
}

/** NOTE: an error of commander does not name its command, and a word of the line may name another. */
function nameCommandInErrors(command: Command): void {
  command.exitOverride((error) => {
    throw new CommandUsageError(command, error);
  });
  command.commands.forEach(nameCommandInErrors);
}

function packageVersion(): string {
  const file = readFileSync(new URL('../../package.json', import.meta.url), 'utf8');
  return (JSON.parse(file) as { version: string }).version;
}

// NOTE: commander has already printed its help if no command was given.
async function reportUsageError(args: readonly string[], error: unknown): Promise<number> {
  const isNamed = error instanceof CommandUsageError;
  if (isNamed && error.commanderError.code === 'commander.help') return 2;
  const failure = isNamed ? usageError(error) : error;
  const { failureJson, failureText } = await import('./failure.ts');
  const { styleFor } = await import('./views/style.ts');
  if (args.includes('--json'))
    void standardOutput().write(
      `${printableJson({ time: new Date().toISOString(), runId: null, ...failureJson(failure) })}\n`,
    );
  else void standardError().write(failureText(failure, styleFor(process.stderr)));
  return exitCodeOf(failure);
}

function usageError({ command, message }: CommandUsageError): PublishError {
  const problem = message
    .replace(/^error: /, '')
    .replace(/\s*\n\s*/g, ' ')
    .replace(/\.$/, '');
  const hint = `see ${pathOf(command)} --help`;
  return new PublishError('USAGE', problem, { step: 'config', hint });
}

/** `virt-publish chain pull`. */
function pathOf(command: Command): string {
  return command.parent === null ? command.name() : `${pathOf(command.parent)} ${command.name()}`;
}
