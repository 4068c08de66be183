// Opens the registry that configuration and flags name.
import { join } from 'node:path';
import type { Config } from '../config.ts';
import type { OnEvent } from '../events.ts';
import type { Registry } from '../registry/registry.ts';

export interface OpenOptions {
  /** Another registry than the configured one. */
  url?: string;
  /** Where its S3 server or its credentials are others. */
  s3?: Partial<Config['s3']>;
  /** Told once, before the first write, where the registry is not safe for many clients. */
  onEvent?: OnEvent;
}

/** Loaded late: the S3 client is the heaviest import there is. */
export async function openConfiguredRegistry(
  config: Config,
  { url, s3: others, onEvent }: OpenOptions = {},
): Promise<Registry> {
  const { openRegistry } = await import('../registry/registry.ts');
  const { registry, s3, upload, timeouts, stateDir, reserve } = config;
  return openRegistry(url ?? registry, {
    s3: { ...s3, ...others },
    requestTimeoutMs: timeouts.requestMs,
    upload: { ...upload, partMs: timeouts.partMs },
    cacheDir: join(stateDir, 'cache'),
    reserve,
    ...(onEvent === undefined ? {} : { onEvent }),
  });
}
