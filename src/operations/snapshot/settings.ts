// The options of a snapshot, with defaults from the configuration. Pure.
import type { Config } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import { listener, type OnEvent } from '../../core/events.ts';
import type { DiskSelection } from '../../domain/choose-disk.ts';
import type { Session } from '../../domain/session.ts';
import { requireCompression } from '../../qemu/qemu-img.ts';
import { assertAlias } from '../../registry/record/names.ts';
import type { SnapshotOptions } from './snapshot-types.ts';

type Decided =
  | 'mode'
  | 'method'
  | 'format'
  | 'compress'
  | 'quiesce'
  | 'bandwidthMib'
  | 'uploadRateMib'
  | 'visibility';

/** What the steps of a snapshot run get: its settings, libvirt and the domain. */
export type SnapshotSession = Session<SnapshotSettings>;

export interface SnapshotSettings
  extends Required<Pick<SnapshotOptions, Decided | 'domain' | 'connect' | 'registry' | 'workDir'>> {
  disks: DiskSelection;
  hash: readonly string[];
  /** The operations of virt-sysprep; null if the image is not sealed. */
  sysprep: string | null;
  name: string | undefined;
  aliases: readonly string[];
  tags: readonly string[];
  properties: Readonly<Record<string, string>>;
  protected: boolean;
  withNvram: boolean;
  keep: number | undefined;
  fromSnapshot: string | undefined;
  signal: AbortSignal;
  onEvent: OnEvent;
  config: Config;
}

/** @throws PublishError USAGE if two options exclude each other, or one has a wrong value. */
export function decideSettings(options: SnapshotOptions, config: Config): SnapshotSettings {
  const settings: SnapshotSettings = {
    domain: options.domain,
    connect: options.connect ?? config.connect,
    registry: options.registry ?? config.registry,
    workDir: options.workDir ?? config.workDir,
    mode: options.mode ?? config.snapshot.mode,
    method: options.method ?? config.snapshot.method,
    format: options.format ?? config.snapshot.format,
    compress: options.compress ?? config.snapshot.compress,
    quiesce: options.quiesce ?? config.snapshot.quiesce,
    bandwidthMib: options.bandwidthMib ?? config.snapshot.bandwidthMib,
    uploadRateMib: options.uploadRateMib ?? config.upload.rateMib,
    visibility: options.visibility ?? config.snapshot.visibility,
    disks: decideDisks(options),
    hash: options.hash ?? config.snapshot.hash,
    sysprep: options.sysprep ? (options.sysprepOperations ?? config.sysprep.operations) : null,
    name: options.name,
    aliases: options.aliases ?? [],
    tags: options.tags ?? [],
    properties: options.properties ?? {},
    protected: options.protected ?? false,
    withNvram: options.withNvram ?? false,
    keep: options.keep,
    fromSnapshot: options.fromSnapshot,
    signal: options.signal ?? new AbortController().signal,
    onEvent: listener(options.onEvent),
    config,
  };
  requireCompression(settings.format, settings.compress);
  assertSealable(settings);
  assertCapturesNothing(options);
  for (const alias of settings.aliases) assertAlias(alias);
  if (settings.keep !== undefined && !(settings.keep >= 1)) {
    const hint = 'use --keep 1 to keep only the new image';
    throw new PublishError('USAGE', '--keep must be 1 or more', { step: 'config', hint });
  }
  const { bandwidthMib, uploadRateMib } = settings;
  for (const [name, rate] of Object.entries({
    bandwidth: bandwidthMib,
    'upload rate': uploadRateMib,
  })) {
    if (rate >= 0) continue;
    const hint = 'give MiB/s, or 0 for no cap';
    throw new PublishError('USAGE', `${name} must not be negative`, { step: 'config', hint });
  }
  return settings;
}

/** A snapshot that exists is not captured, and the UEFI variables of its time are not kept. */
function assertCapturesNothing(options: SnapshotOptions): void {
  if (options.fromSnapshot === undefined) return;
  const { mode, method, quiesce, bandwidthMib, withNvram } = options;
  const requested = { mode, method, quiesce, bandwidth: bandwidthMib, 'with-nvram': withNvram };
  const [request] = Object.entries(requested).find(([, value]) => value !== undefined) ?? [];
  if (request === undefined) return;
  const message = `--${request} has no effect with --from-snapshot, which reads an existing snapshot`;
  const hint = `leave --${request} out`;
  throw new PublishError('USAGE', message, { step: 'config', hint });
}

function assertSealable({ sysprep, format }: SnapshotSettings): void {
  if (sysprep === null || SEALABLE.includes(format)) return;
  const message = `virt-sysprep cannot change images of format ${format}, only ${SEALABLE.join(' and ')}`;
  throw new PublishError('USAGE', message, { step: 'config', hint: 'use --format qcow2' });
}

const SEALABLE: readonly string[] = ['qcow2', 'raw'];

function decideDisks({ disk, allDisks = false }: SnapshotOptions): DiskSelection {
  const targets = typeof disk === 'string' ? [disk] : (disk ?? []);
  if (!allDisks) return targets.length === 0 ? 'root' : targets;
  if (targets.length === 0) return 'all';
  const message = '--disk and --all-disks exclude each other';
  const hint = 'name disks with --disk, or take them all with --all-disks';
  throw new PublishError('USAGE', message, { step: 'config', hint });
}
