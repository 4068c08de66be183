// `virt-publish config`: prints the settings, and the source of each.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { SettingInForce } from '../../config/config.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  CONNECT,
  type GlobalFlags,
  hostOverrides,
  type RegistryFlags,
  WORK_DIR,
} from '../options.ts';
import type { Product } from '../run-command.ts';

type ConfigFlags = GlobalFlags & RegistryFlags & { connect?: string; workDir?: string };

export function addConfigCommand(program: Command, setExitCode: SetExitCode): void {
  const config = program
    .command('config')
    .summary('show the settings that are in force')
    .description('Shows the configuration.');
  const show = config
    .command('show')
    .summary('print each setting, its value, and its source')
    .description(
      'Prints each setting with its value and its source: default, a file, a variable of the\nenvironment, or a flag.',
    )
    .option(...WORK_DIR)
    .option(...CONNECT);
  addRegistryOptions(show).action(async () => {
    const flags = show.optsWithGlobals<ConfigFlags>();
    const { runCommand } = await import('../run-command.ts');
    setExitCode(await runCommand({ flags, overrides: hostOverrides(flags) }, () => list(flags)));
  });
}

async function list(flags: ConfigFlags): Promise<Product> {
  const files = flags.config === undefined ? [] : [resolve(flags.config)];
  const sources = { env: process.env, files, overrides: hostOverrides(flags) };
  const { explainConfig } = await import('../../config/config.ts');
  const { withoutSecrets } = await import('../../core/secrets.ts');
  // A URL may hold a user and a password.
  const settings: SettingInForce[] = (await explainConfig(sources)).map(({ value, ...setting }) => {
    return { ...setting, value: typeof value === 'string' ? withoutSecrets(value) : value };
  });
  const { formatTable } = await import('../views/table.ts');
  const columns = [{ title: 'KEY' }, { title: 'VALUE' }, { title: 'SOURCE' }];
  const rows = settings.map(({ key, value, source }) => [key, shown(value), source]);
  return { text: formatTable(columns, rows), json: { settings } };
}

function shown(value: unknown): string {
  if (value === null || (Array.isArray(value) && value.length === 0)) return '-';
  return String(value);
}
