// Flags that several commands share, with their defaults in their descriptions.
import { resolve } from 'node:path';
import { type Command, InvalidArgumentError, Option } from 'commander';
import type { ConfigOverrides } from '../config/config.ts';
import { readConfigAsset } from '../config/schema.ts';
import { VISIBILITIES } from '../core/model.ts';

export { InvalidArgumentError, Option };

/** Flag of the directory that delta and image are written to. */
export const WORK_DIR = [
  '--work-dir <dir>',
  'directory of delta and image (default: runs in the state directory)',
] as const;

export const CONNECT = [
  '-c, --connect <uri>',
  'libvirt on this host (default: LIBVIRT_DEFAULT_URI, else qemu:///system)',
] as const;

/** Flags of every command, as commander returns them. */
export interface GlobalFlags {
  json?: boolean;
  quiet?: boolean;
  progress: boolean;
  verbose?: boolean;
  logFile?: string;
  config?: string;
}

/** Flags that name the registry. */
export interface RegistryFlags {
  registry?: string;
  endpoint?: string;
  region?: string;
  profile?: string;
  pathStyle?: boolean;
  caFile?: string;
}

export function addGlobalOptions(command: Command): Command {
  return command
    .option('--json', 'NDJSON events and one final object on standard output')
    .option('-q, --quiet', 'print only warnings and errors')
    .option('--no-progress', 'a plain log instead of the live display')
    .option('-v, --verbose', 'print each act on the domain and each point of the journal too')
    .option('--log-file <file>', 'append a full log to this file, NDJSON with --json')
    .option('--config <file>', 'read this configuration file too');
}

export function addRegistryOptions(command: Command): Command {
  return command
    .optionsGroup('Registry:')
    .option(
      '-r, --registry <url>',
      's3://bucket/prefix or a directory (default: registry in the state directory)',
    )
    .option('--endpoint <url>', 'S3 server (default: that of AWS)')
    .option('--region <name>', "region of the bucket (default: the environment's or the profile's)")
    .option('--profile <name>', 'profile of ~/.aws/config (default: AWS_PROFILE, else default)')
    .option('--path-style', 'put the bucket into the path (default if an endpoint is given)')
    .option('--no-path-style', 'put the bucket into the host name')
    .option(
      '--ca-file <file>',
      "PEM file of the authority of the server's certificate (default: the system's)",
    );
}

/** Returns the flags that are settings, as a layer of the configuration. */
export function registryOverrides(flags: RegistryFlags): ConfigOverrides {
  const s3 = given({
    endpoint: flags.endpoint,
    region: flags.region,
    profile: flags.profile,
    pathStyle: flags.pathStyle,
    caFile: flags.caFile === undefined ? undefined : resolve(flags.caFile),
  });
  return {
    ...given({ registry: flags.registry }),
    ...(Object.keys(s3).length === 0 ? {} : { s3 }),
  };
}

/** Returns the settings of commands on a domain and a registry. */
export function hostOverrides(
  flags: RegistryFlags & { connect?: string | undefined; workDir?: string | undefined },
): ConfigOverrides {
  const workDir = flags.workDir === undefined ? undefined : resolve(flags.workDir);
  return { ...registryOverrides(flags), ...given({ connect: flags.connect, workDir }) };
}

/** Returns the description with the default of the key. */
export function withDefault(description: string, group: string, key: string): string {
  defaults ??= readConfigAsset('default.json') as Record<string, Record<string, unknown>>;
  const value = defaults[group]?.[key];
  return `${description} (default: ${Array.isArray(value) && value.length === 0 ? 'none' : value})`;
}

let defaults: Readonly<Record<string, Readonly<Record<string, unknown>>>> | undefined;

/** Returns the entries that have a value. */
export function given<T extends object>(values: T): { [K in keyof T]?: Exclude<T[K], undefined> } {
  const entries = Object.entries(values).filter(([, value]) => value !== undefined);
  return Object.fromEntries(entries) as { [K in keyof T]?: Exclude<T[K], undefined> };
}

export function choiceOption(
  flags: string,
  description: string,
  choices: readonly string[],
): Option {
  return new Option(flags, description).choices(choices);
}

/** `--visibility` of snapshot, volume-snapshot and import. */
export function visibilityOption(): Option {
  const description = withDefault('visibility of the image', 'snapshot', 'visibility');
  return choiceOption('--visibility <who>', description, VISIBILITIES);
}

/** `--hash` of snapshot and import. */
export function hashOption(): Option {
  const description = withDefault('digests beside sha256: md5, sha512', 'snapshot', 'hash');
  return new Option('--hash <algorithms>', description).argParser(
    collectChoices(['md5', 'sha512']),
  );
}

/** Parses a flag that may be given more than once. */
export function collect(value: string, earlier: readonly string[] = []): string[] {
  return [...earlier, value];
}

/** Returns the parser of a flag that may be given more than once, or with commas. */
export function collectChoices(choices: readonly string[]) {
  const parse = (value: string, earlier: readonly string[] = []): string[] => {
    const values = value.split(',').map((item) => item.trim());
    const wrong = values.find((item) => !choices.includes(item));
    if (wrong !== undefined) throw new InvalidArgumentError(`Allowed are ${choices.join(', ')}.`);
    return [...new Set([...earlier, ...values])];
  };
  // Shell completion reads them.
  return Object.assign(parse, { choices });
}

/** Parses `--property key=value`, which may be given more than once; the last value of a key wins. */
export function collectProperty(
  value: string,
  earlier: Readonly<Record<string, string>> = {},
): Record<string, string> {
  const at = value.indexOf('=');
  if (at < 1) throw new InvalidArgumentError('It must be KEY=VALUE.');
  return { ...earlier, [value.slice(0, at)]: value.slice(at + 1) };
}

export function wholeNumber(value: string): number {
  if (!/^\d+$/.test(value) || !Number.isSafeInteger(Number(value)))
    throw new InvalidArgumentError('It must be a whole number, 0 or more.');
  return Number(value);
}
