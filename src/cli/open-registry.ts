// Opens the registry that configuration and flags name.
import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { OnEvent } from '../events.ts';
import type { Registry } from '../registry/registry.ts';

export interface OpenOptions {
  /** Another registry, at the same S3 server unless it is a directory. */
  url?: string;
  /** Told once, before the first write, where the registry is not safe for many clients. */
  onEvent?: OnEvent;
}

/** Loaded late: the S3 client is the heaviest import there is. */
export async function openConfiguredRegistry(
  config: Config,
  { url, onEvent }: OpenOptions = {},
): Promise<Registry> {
  const { openRegistry } = await import('../registry/registry.ts');
  const { registry, s3, upload, timeouts, stateDir } = config;
  return openRegistry(url ?? registry, {
    s3,
    requestTimeoutMs: timeouts.requestMs,
    upload: { ...upload, partMs: timeouts.partMs },
    cacheDir: join(stateDir, 'cache'),
    ...(onEvent === undefined ? {} : { onEvent }),
  });
}
