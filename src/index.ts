// The public API of virt-publish: exports only.

export type * from './capture/volumes/volume-plan.ts';
export {
  type Config,
  type ConfigOverrides,
  type ConfigSources,
  loadConfig,
} from './config/config.ts';
export { ERROR_CODES, type ErrorCode } from './core/error-catalogue.ts';
export { PublishError, type Step } from './core/errors.ts';
export type { OnEvent, RunEvent } from './core/events.ts';
export type * from './core/model.ts';
export type { ChainReport } from './domain/chain/read-chain.ts';
export { commitChain, pullChain, showChain } from './operations/chain/chain.ts';
export type * from './operations/chain/chain-types.ts';
export { inspect } from './operations/inspect/inspect.ts';
export type * from './operations/inspect/inspect-types.ts';
export { createSnapshot, planSnapshot } from './operations/snapshot/snapshot.ts';
export type * from './operations/snapshot/snapshot-types.ts';
export {
  createVolumeSnapshot,
  planVolumeSnapshot,
} from './operations/volume-snapshot/volume-snapshot.ts';
export type * from './operations/volume-snapshot/volume-types.ts';
export type { PublishedImage } from './publish/finish.ts';
export {
  listRuns,
  type RecoveredRun,
  type RecoverOptions,
  type RunStatus,
  recoverRuns,
} from './recovery/recover.ts';
export type { MovedAlias } from './registry/aliases/point-aliases.ts';
export type { ImageDisk, ImageObject, ImageRecord, ImageStatus } from './registry/record/image.ts';
export { openRegistry, type Registry, type RegistryOptions } from './registry/registry.ts';
