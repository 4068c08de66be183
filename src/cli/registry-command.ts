// The frame of commands that work on a registry: its flags, the open registry, the exit code.
import type { Command } from 'commander';
import type { Registry } from '../registry/registry.ts';
import type { SetExitCode } from './exit-codes.ts';
import {
  addRegistryOptions,
  type GlobalFlags,
  type RegistryFlags,
  registryOverrides,
} from './options.ts';
import type { CommandContext, Product } from './run-command.ts';

export interface RegistryContext extends CommandContext {
  registry: Registry;
  /** Arguments of the command line, without the flags. */
  args: readonly string[];
}

/** Gives the command its registry flags and its work, which is loaded when it runs. */
export function onRegistry<Flags extends object>(
  command: Command,
  setExitCode: SetExitCode,
  work: (context: RegistryContext, flags: Flags) => Promise<Product>,
): void {
  addRegistryOptions(command).action(async () => {
    const flags = command.optsWithGlobals<GlobalFlags & RegistryFlags & Flags>();
    const { runCommand } = await import('./run-command.ts');
    const frame = { flags, overrides: registryOverrides(flags) };
    const exitCode = await runCommand(frame, async (context) => {
      const { openConfiguredRegistry } = await import('./open-registry.ts');
      const registry = await openConfiguredRegistry(context);
      return work({ ...context, registry, args: command.args }, flags);
    });
    setExitCode(exitCode);
  });
}

/** Reports a warning on standard error, also with `--quiet`; the command continues. */
export function warn({ onEvent }: CommandContext, message: string): void {
  onEvent({ type: 'note', level: 'warning', step: 'registry', message });
}

/** Reports what was done, on standard error: standard output is for the product. */
export function report({ onEvent }: CommandContext, message: string): void {
  onEvent({ type: 'note', level: 'info', step: 'registry', message });
}
