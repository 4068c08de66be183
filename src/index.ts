// The public API of virt-publish: exports only.
export { commitChain, pullChain, showChain } from './chain.ts';
export type * from './chain-types.ts';
export { type Config, type ConfigOverrides, type ConfigSources, loadConfig } from './config.ts';
export { ERROR_CODES, type ErrorCode, PublishError, type Step } from './errors.ts';
export type { OnEvent, RunEvent } from './events.ts';
export { inspect } from './inspect.ts';
export type * from './inspect-types.ts';
export {
  listRuns,
  type RecoveredRun,
  type RecoverOptions,
  type RunStatus,
  recoverRuns,
} from './recover.ts';
export type { ImageDisk, ImageObject, ImageRecord, ImageStatus } from './registry/image.ts';
export { openRegistry, type Registry, type RegistryOptions } from './registry/registry.ts';
export { createSnapshot, planSnapshot } from './snapshot.ts';
export type * from './snapshot-types.ts';
export { createVolumeSnapshot, planVolumeSnapshot } from './volume-snapshot.ts';
export type * from './volume-types.ts';
