// The operations of the public API: each reads the configuration, takes a signal, and rejects with a PublishError.

import type { VolumePlan } from '../capture/volumes/volume-plan.ts';
import type { ConfigSources } from '../config/config.ts';
import { type Config, loadConfig as readConfig } from '../config/config.ts';
import type { OnEvent } from '../core/events.ts';
import type { ChainReport } from '../domain/chain/read-chain.ts';
import {
  commitChain as commit,
  pullChain as pull,
  showChain as show,
} from '../operations/chain/chain.ts';
import type {
  ChainOptions,
  ChainResult,
  CommitChainOptions,
  PullChainOptions,
} from '../operations/chain/chain-types.ts';
import { examineHost } from '../operations/doctor/doctor.ts';
import type { DoctorFinding } from '../operations/doctor/finding.ts';
import { importImage as bringIn } from '../operations/import/import-image.ts';
import type { ImportOptions, ImportResult } from '../operations/import/import-types.ts';
import { inspect } from '../operations/inspect/inspect.ts';
import type { DomainReport, InspectDomainOptions } from '../operations/inspect/inspect-types.ts';
import { planSnapshot as plan, createSnapshot as take } from '../operations/snapshot/snapshot.ts';
import type {
  SnapshotOptions,
  SnapshotPlan,
  SnapshotResult,
} from '../operations/snapshot/snapshot-types.ts';
import {
  planVolumeSnapshot as planVolumes,
  createVolumeSnapshot as takeVolumes,
} from '../operations/volume-snapshot/volume-snapshot.ts';
import type {
  VolumeSnapshotOptions,
  VolumeSnapshotResult,
} from '../operations/volume-snapshot/volume-types.ts';
import type { RecoveredRun, RecoverOptions } from '../recovery/recover.ts';
import { listRuns as readRuns, recoverRuns as recover } from '../recovery/recover.ts';
import type { RunStatus } from '../recovery/run-status.ts';
import { openConfigured } from '../registry/configured-registry.ts';
import { withPublicErrors } from './public-errors.ts';

/** What `doctor` checks. Missing options come from the configuration. */
export interface DoctorOptions {
  /** Names, UUIDs or ids of the domains whose agents are asked; all running ones if left out. */
  domains?: readonly string[];
  /** libvirt URI. */
  connect?: string;
  /** `s3://bucket/prefix` or a directory. */
  registry?: string;
  workDir?: string;
  signal?: AbortSignal;
  onEvent?: OnEvent;
}

/**
 * Returns the configuration: defaults, files, environment and `overrides`, the later one wins.
 * @throws PublishError CONFIG naming the file or variable, the key, and what is allowed
 */
export function loadConfig(sources: ConfigSources = {}): Promise<Config> {
  return withPublicErrors(undefined, () => readConfig(sources));
}

/**
 * Takes one disk of a domain, or several at one point in time, and publishes them as one image. The
 * guest is as it was when this settles; no image is active and nothing is left if it rejects.
 * @throws PublishError; GUEST_NOT_RESTORED with the command that restores the guest if an undo failed
 */
export function createSnapshot(options: SnapshotOptions, config?: Config): Promise<SnapshotResult> {
  return withPublicErrors(options.signal, (signal) => take({ ...options, signal }, config));
}

/**
 * Returns what `createSnapshot` would do, why, and what it would fail with. Touches nothing.
 * @throws PublishError if nothing can be planned
 */
export function planSnapshot(options: SnapshotOptions, config?: Config): Promise<SnapshotPlan> {
  return withPublicErrors(options.signal, (signal) => plan({ ...options, signal }, config));
}

/**
 * Lets storage pools take snapshots of all volumes of a domain at one point in time, and publishes
 * an image that names them. The image has no data. No snapshot is left if it rejects.
 * @throws PublishError DISK_UNSUPPORTED, VOLUMES, QUIESCE, REGISTRY; GUEST_NOT_RESTORED
 */
export function createVolumeSnapshot(
  options: VolumeSnapshotOptions,
  config?: Config,
): Promise<VolumeSnapshotResult> {
  return withPublicErrors(options.signal, (signal) => takeVolumes({ ...options, signal }, config));
}

/** Returns what `createVolumeSnapshot` would do, and what it would fail with. Touches nothing. @throws PublishError */
export function planVolumeSnapshot(
  options: VolumeSnapshotOptions,
  config?: Config,
): Promise<VolumePlan> {
  return withPublicErrors(options.signal, (signal) => planVolumes({ ...options, signal }, config));
}

/**
 * Publishes an existing image: a file, a URL, or standard input. Its bytes are inspected first. No
 * image is active if it rejects.
 * @throws PublishError; IMAGE_REFUSED for an image that must not come in, DOWNLOAD for a URL that fails
 */
export function importImage(options: ImportOptions, config?: Config): Promise<ImportResult> {
  return withPublicErrors(options.signal, (signal) => bringIn({ ...options, signal }, config));
}

/** Returns a domain with all its disks, and everything that a snapshot of it would fail with. Touches nothing. @throws PublishError */
export function inspectDomain(
  options: InspectDomainOptions,
  config?: Config,
): Promise<DomainReport> {
  return withPublicErrors(options.signal, (signal) => inspect({ ...options, signal }, config));
}

/** Returns the backing chain of a disk. Touches nothing. @throws PublishError */
export function showChain(options: ChainOptions, config?: Config): Promise<ChainReport> {
  return withPublicErrors(options.signal, (signal) => show({ ...options, signal }, config));
}

/**
 * Writes layers down into the one below them, while the guest runs. The guest keeps the chain it
 * had if this rejects.
 * @throws PublishError CHAIN, CHAIN_IN_USE, DOMAIN_BUSY, NO_SPACE, USAGE
 */
export function commitChain(options: CommitChainOptions, config?: Config): Promise<ChainResult> {
  return withPublicErrors(options.signal, (signal) => commit({ ...options, signal }, config));
}

/** Writes layers up into the active one, while the guest runs. @throws PublishError as `commitChain` */
export function pullChain(options: PullChainOptions, config?: Config): Promise<ChainResult> {
  return withPublicErrors(options.signal, (signal) => pull({ ...options, signal }, config));
}

/**
 * Checks everything that a run needs, by trying it, and returns one finding each. What it makes to
 * try something is removed again; nothing that is found is thrown.
 * @throws PublishError INTERRUPTED, CONFIG
 */
export function doctor(options: DoctorOptions = {}, config?: Config): Promise<DoctorFinding[]> {
  return withPublicErrors(options.signal, async (signal) => {
    const base = config ?? (await readConfig());
    const { domains = [], onEvent } = options;
    const { connect = base.connect, registry = base.registry, workDir = base.workDir } = options;
    const all = { ...base, connect, registry, workDir };
    const openRegistry = () => openConfigured(all, { url: registry, s3: all.s3, onEvent });
    const findings: DoctorFinding[] = [];
    for await (const finding of examineHost({ config: all, domains, openRegistry, signal }))
      findings.push(finding);
    return findings;
  });
}

/** Returns the runs of the state directory, the oldest first. @throws PublishError WORK_DIR */
export function listRuns(config?: Config): Promise<RunStatus[]> {
  return withPublicErrors(undefined, async () => readRuns(config ?? (await readConfig())));
}

/**
 * Restores guests of crashed runs, and removes what those left. Runs that are running are left alone;
 * a run that could not be recovered has its error in the result.
 * @throws PublishError if the state directory cannot be read
 */
export function recoverRuns(
  options: RecoverOptions = {},
  config?: Config,
): Promise<RecoveredRun[]> {
  return withPublicErrors(options.signal, async (signal) =>
    recover(config ?? (await readConfig()), { ...options, signal }),
  );
}
