// Opens the registry of the configuration and the flags.
import type { Config } from '../config/config.ts';
import type { Registry } from '../registry/registry.ts';
import type { CommandContext } from './run-command.ts';

export interface OpenOptions {
  /** Another registry than the configured one. */
  url?: string;
  /** Settings that differ from those of the configured registry. */
  s3?: Partial<Config['s3']>;
  /** Images are created there. */
  writes?: boolean;
  /** The place may be no registry yet. */
  mayBeNew?: boolean;
}

/**
 * Loaded late: the S3 client is the heaviest import there is.
 * @throws PublishError REGISTRY if it is no registry and must be one
 */
export async function openConfiguredRegistry(
  { config, signal, onEvent }: Pick<CommandContext, 'config' | 'signal' | 'onEvent'>,
  { url = config.registry, s3, writes = false, mayBeNew = writes }: OpenOptions = {},
): Promise<Registry> {
  const { openConfigured } = await import('../registry/configured-registry.ts');
  const place = { url, s3: { ...config.s3, ...s3 } };
  const registry = await openConfigured(config, { ...place, onEvent, writes });
  if (!mayBeNew) await registry.assertExists({ signal });
  return registry;
}
