// The deadlines of a snapshot with their defaults, as `snapshot --help` shows them.
import { readConfigAsset, readSchema } from '../../config/schema.ts';
import { formatDuration } from '../views/format.ts';

/** Deadlines that a user may have to raise; config/schema.json has all of them. */
const SHOWN = [
  'mirrorMs',
  'mirrorStallMs',
  'freezeMs',
  'windowsFreezeMs',
  'managedSaveMs',
  'convertMs',
  'partMs',
  'libvirtMs',
] as const;

export function deadlinesHelp(): string {
  const { timeouts } = readConfigAsset('default.json') as { timeouts: Record<string, number> };
  const nodes = readSchema().properties?.timeouts?.properties ?? {};
  const rows = SHOWN.map((key) => {
    const length = formatDuration(timeouts[key] ?? 0);
    return `  timeouts.${key.padEnd(17)}${length.padEnd(13)}${nodes[key]?.description ?? ''}`;
  });
  return ['Deadlines (defaults; set in the configuration):', ...rows].join('\n');
}
