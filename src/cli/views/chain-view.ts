// A backing chain as a tree for people: the active layer on top, each above its backing file. Pure.
import type { ChainLayer } from '../../core/model.ts';
import type { ChainReport } from '../../domain/chain/read-chain.ts';
import type { ChainResult } from '../../operations/chain/chain-types.ts';
import { formatBytes, printable } from './format.ts';
import { formatTable } from './table.ts';

const COLUMNS = [
  { title: 'LAYER' },
  { title: 'FORMAT' },
  { title: 'VIRTUAL', align: 'right' },
  { title: 'ALLOCATED', align: 'right' },
  { title: 'SNAPSHOTS' },
] as const;

/** What `chain show` prints. */
export function formatChain({ domain, disk, layers, obstacle }: ChainReport): string {
  const head = `${disk.target} on ${disk.bus} of ${domain.name}, ${domain.state}`;
  const end = obstacle === null ? [] : [`not followed further: ${obstacle}`];
  return [printable(head), formatLayers(layers), ...end.map(printable)].join('\n');
}

/** What a commit or a pull prints: the new chain, and the files that left it. */
export function formatShortened({ after, unused }: ChainResult): string {
  const files = unused.map(({ path, removed, reason }) =>
    printable(removed ? `removed ${path}` : `no longer in the chain: ${path} (kept: ${reason})`),
  );
  return [formatLayers(after), ...files].join('\n');
}

export function formatLayers(layers: readonly ChainLayer[]): string {
  const rows = layers.map(({ path, format, virtualSize, actualSize, snapshots }, depth) => [
    `${depth === 0 ? '' : `${'  '.repeat(depth - 1)}└─`}${printable(path)}`,
    format,
    formatBytes(virtualSize),
    formatBytes(actualSize),
    printable(snapshots.join(', ')) || '-',
  ]);
  return formatTable(COLUMNS, rows);
}
