// Opens a registry with the settings of the configuration.
import { join } from 'node:path';
import type { Config } from '../config/config.ts';
import { defaultRegistry } from '../config/directories.ts';
import type { OnEvent } from '../core/events.ts';
import type { S3Options } from '../store/s3/aws-settings.ts';
import { openRegistry, type Registry } from './registry.ts';

export interface ConfiguredOptions {
  url: string;
  s3?: S3Options | undefined;
  /** Cap of what is sent, in MiB/s; the configuration's if left out. */
  rateMib?: number;
  onEvent?: OnEvent | undefined;
  /** True if the command writes images there. */
  writes?: boolean;
}

/** Names the registry to `onEvent`. Makes no request. @throws USAGE, CONFIG */
export async function openConfigured(
  config: Pick<Config, 'upload' | 'timeouts' | 'stateDir'> & Partial<Pick<Config, 'registryMode'>>,
  { url, s3, rateMib, onEvent, writes = false }: ConfiguredOptions,
): Promise<Registry> {
  const { upload, timeouts, stateDir, registryMode = null } = config;
  const registry = await openRegistry(url, {
    ...(s3 === undefined ? {} : { s3 }),
    requestTimeoutMs: timeouts.requestMs,
    upload: {
      ...{ ...upload, partMs: timeouts.partMs },
      ...(rateMib === undefined ? {} : { rateMib }),
    },
    cacheDir: join(stateDir, 'cache'),
    ...(registryMode === null ? {} : { mode: Number.parseInt(registryMode, 8) }),
    isDefault: url === defaultRegistry(stateDir),
    ...(onEvent === undefined ? {} : { onEvent }),
  });
  onEvent?.({ type: 'registry', registry: registry.url, writes });
  return registry;
}
