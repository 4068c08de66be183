// The public API of virt-publish: exports only.

export type {
  PlannedVolume,
  VolumePlan,
  VolumeSnapshotKind,
} from './capture/volumes/volume-plan.ts';
export type { Config, ConfigOverrides, ConfigSources } from './config/config.ts';
export {
  ERROR_CATALOGUE,
  ERROR_CODES,
  type ErrorCode,
  type ErrorEntry,
} from './core/error-catalogue.ts';
export { PublishError, type PublishErrorOptions, type Step } from './core/errors.ts';
export type { NoteLevel, OnEvent, RunEvent } from './core/events.ts';
export type {
  CaptureMode,
  ChainLayer,
  Compression,
  DiskFormat,
  MirrorMethod,
  PlanObstacle,
  QuiescePolicy,
  SnapshotMode,
  TargetFormat,
  Visibility,
} from './core/model.ts';
export type { ChainReport } from './domain/chain/read-chain.ts';
export type * from './library/image-registry.ts';
export { openRegistry } from './library/open-registry.ts';
export * from './library/operations.ts';
export type * from './library/registry-options.ts';
export type {
  ChainOptions,
  ChainResult,
  CommitChainOptions,
  PullChainOptions,
  UnusedFile,
} from './operations/chain/chain-types.ts';
export type { DoctorFinding } from './operations/doctor/finding.ts';
export type { ImportOptions, ImportResult } from './operations/import/import-types.ts';
export type * from './operations/inspect/inspect-types.ts';
export type {
  PlannedDisk,
  SnapshotOptions,
  SnapshotPlan,
  SnapshotResult,
} from './operations/snapshot/snapshot-types.ts';
export type {
  VolumeSnapshotOptions,
  VolumeSnapshotResult,
} from './operations/volume-snapshot/volume-types.ts';
export type { PublishedImage } from './publish/finish.ts';
export type { RecoveredRun, RecoverOptions } from './recovery/recover.ts';
export type { RunStatus } from './recovery/run-status.ts';
export type { AliasRecord } from './registry/aliases/aliases.ts';
export type { MovedAlias } from './registry/aliases/point-aliases.ts';
export type { ImagePage } from './registry/catalog/list-query.ts';
export type { ListQuery, SortKey, SortOrder } from './registry/catalog/query-parts.ts';
export type { CopiedImage } from './registry/copy-image.ts';
export type { Garbage, GarbageKind } from './registry/lifecycle/image-garbage.ts';
export type { Pruned } from './registry/lifecycle/prune-images.ts';
export type { RetentionPolicy } from './registry/lifecycle/retention.ts';
export type { Verified } from './registry/lifecycle/verify-image.ts';
export type {
  ImageDisk,
  ImageObject,
  ImageRecord,
  ImageStatus,
} from './registry/record/image.ts';
export type { ImageChanges } from './registry/record/image-changes.ts';
export type { RunState } from './run/runs.ts';
export type { S3Options } from './store/s3/aws-settings.ts';
export type { CopyWay } from './transfer/upload/copy-object.ts';
