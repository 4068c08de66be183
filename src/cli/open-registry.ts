// Opens the registry that configuration and flags name.
import type { Config } from '../config.ts';
import type { Registry } from '../registry/registry.ts';

/** Loaded late: the S3 client is the heaviest import there is. */
export async function openConfiguredRegistry(config: Config): Promise<Registry> {
  const { openRegistry } = await import('../registry/registry.ts');
  const { registry, s3, upload, timeouts } = config;
  return openRegistry(registry, {
    s3,
    requestTimeoutMs: timeouts.requestMs,
    upload: { ...upload, partMs: timeouts.partMs },
  });
}
