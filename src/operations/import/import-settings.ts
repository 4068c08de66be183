// The options of an import, with defaults from the configuration. Pure.
import { basename } from 'node:path';
import type { Config } from '../../config/config.ts';
import { PublishError, type Step } from '../../core/errors.ts';
import { listener, type OnEvent } from '../../core/events.ts';
import { assertAlias, MAX_NAME } from '../../registry/record/names.ts';
import { nameOf } from './fetch/answer-headers.ts';
import type { ImportOptions } from './import-types.ts';
import { readName } from './name-claims.ts';

type Given = Required<
  Pick<ImportOptions, 'source' | 'name' | 'registry' | 'aliases' | 'tags' | 'properties'>
> &
  Required<Pick<ImportOptions, 'visibility' | 'protected' | 'hash' | 'maxBytes' | 'workDir'>>;

export interface ImportSettings extends Given {
  format: ImportOptions['format'] | undefined;
  sha256: string | undefined;
  convert: ImportOptions['convert'] | undefined;
  minDiskGib: number | undefined;
  minRamMib: number;
  allowPrivate: boolean;
  signal: AbortSignal;
  onEvent: OnEvent;
  config: Config;
}

/** @throws PublishError USAGE if an option has a wrong value. */
export function decideImport(options: ImportOptions, config: Config): ImportSettings {
  for (const alias of options.aliases ?? []) assertAlias(alias);
  return {
    source: options.source,
    name: options.name ?? nameOfSource(options.source),
    registry: options.registry ?? config.registry,
    format: options.format,
    sha256: checkedDigest(options.sha256),
    convert: options.convert,
    aliases: options.aliases ?? [],
    tags: options.tags ?? [],
    properties: options.properties ?? {},
    visibility: options.visibility ?? config.snapshot.visibility,
    protected: options.protected ?? false,
    minDiskGib: options.minDiskGib,
    minRamMib: options.minRamMib ?? 0,
    hash: options.hash ?? config.snapshot.hash,
    maxBytes: options.maxBytes ?? config.import.maxBytes,
    allowPrivate: options.allowPrivate ?? false,
    workDir: options.workDir ?? config.workDir,
    signal: options.signal ?? new AbortController().signal,
    onEvent: listener(options.onEvent),
    config,
  };
}

/** Whether the source is standard input. */
export function isStandardInput(source: string): boolean {
  return source === '-' || source === '/dev/stdin';
}

/** `debian-13` of `https://example.org/debian-13.qcow2.xz?x=1`. */
function nameOfSource(source: string): string {
  const name = URL.canParse(source) ? nameOf(new URL(source)) : basename(source);
  const { stem } = readName(isStandardInput(source) ? '' : name);
  if (stem !== '') return stem.slice(0, MAX_NAME);
  const message = `${isStandardInput(source) ? 'standard input' : source} gives the image no name`;
  throw new PublishError('USAGE', message, { step: 'config', hint: 'name it with --name' });
}

/** Returns the bounds of what a step writes to the work directory. */
export function boundsOf({ maxBytes, config, signal }: ImportSettings, step: Step) {
  return { step, maxBytes, reserve: config.reserve, signal };
}

/** Reports how many bytes of its source a step has processed. */
export function reportBytes(
  { onEvent }: ImportSettings,
  step: Step,
  bytes: number,
  total: number,
): void {
  onEvent({ type: 'progress', step, bytes, total });
}

function checkedDigest(sha256: string | undefined): string | undefined {
  if (sha256 === undefined || /^[0-9a-f]{64}$/i.test(sha256)) return sha256?.toLowerCase();
  const message = `--sha256 ${JSON.stringify(sha256.slice(0, 80))} is not a sha256 digest`;
  const hint = 'give its 64 hex digits, as sha256sum prints them';
  throw new PublishError('USAGE', message, { step: 'config', hint });
}
