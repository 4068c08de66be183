// The options of a chain operation, with defaults from the configuration. Pure.
import type { Config } from '../../config/config.ts';
import { PublishError } from '../../core/errors.ts';
import { listener, type OnEvent } from '../../core/events.ts';
import type { ChainOptions, CommitChainOptions } from './chain-types.ts';

export interface ChainSettings {
  domain: string;
  connect: string;
  disk: string | undefined;
  base: string | undefined;
  top: string | undefined;
  bandwidthMib: number;
  delete: boolean;
  signal: AbortSignal;
  onEvent: OnEvent;
  config: Config;
}

/** @throws PublishError USAGE */
export function chainSettings(
  options: ChainOptions & Partial<CommitChainOptions>,
  config: Config,
): ChainSettings {
  const bandwidthMib = options.bandwidthMib ?? config.snapshot.bandwidthMib;
  if (!(bandwidthMib >= 0)) {
    const hint = 'give MiB/s, or 0 for no cap';
    throw new PublishError('USAGE', 'bandwidth must not be negative', { step: 'config', hint });
  }
  return {
    domain: options.domain,
    connect: options.connect ?? config.connect,
    disk: options.disk,
    base: options.base,
    top: options.top,
    bandwidthMib,
    delete: options.delete ?? false,
    signal: options.signal ?? new AbortController().signal,
    onEvent: listener(options.onEvent),
    config,
  };
}
