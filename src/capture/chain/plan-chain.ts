// Which layers a commit or a pull works on, and which ones fall out of the chain. Pure.
import { resolve } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import type { ChainLayer } from '../../core/model.ts';

export interface ChainPlan {
  kind: 'commit' | 'pull';
  target: string;
  /** The job ends with a pivot from the active layer to `base`. */
  pivots: boolean;
  /** The layer that is written to. */
  into: ChainLayer;
  /** A commit's own ends, and the layer that stays below a pull; null where nothing does. */
  top: ChainLayer;
  base: ChainLayer | null;
  /** Layers that are in the chain before and not after. */
  removed: ChainLayer[];
  /** Layers that whoever else reads them would read wrong: `base` and all above it, for a commit. */
  modified: ChainLayer[];
}

/** @throws PublishError USAGE, CHAIN where there is no such layer, or nothing to do. */
export function planCommit(
  { name, target, layers }: { name: string; target: string; layers: readonly ChainLayer[] },
  { base: baseWish, top: topWish }: { base?: string | undefined; top?: string | undefined },
): ChainPlan {
  const chain = { name, target, layers };
  const topAt = topWish === undefined ? 0 : indexOf(chain, topWish);
  const baseAt = baseWish === undefined ? layers.length - 1 : indexOf(chain, baseWish);
  refuseSingle(chain);
  if (baseAt <= topAt) {
    const message = `there is nothing between ${pathAt(layers, topAt)} and ${pathAt(layers, baseAt)} on disk ${target} of domain ${name}: --base must lie below --top in the chain (${listed(layers)})`;
    throw new PublishError('USAGE', message, { step: 'inspect' });
  }
  const removed = layers.slice(topAt, baseAt);
  const [top] = removed;
  const base = layers[baseAt];
  if (!top || !base) throw new Error('a commit has two ends');
  const modified = [...removed, base];
  return { kind: 'commit', target, pivots: topAt === 0, into: base, top, base, removed, modified };
}

/** @throws PublishError USAGE, CHAIN where there is no such layer, or nothing to do. */
export function planPull(
  { name, target, layers }: { name: string; target: string; layers: readonly ChainLayer[] },
  { base: baseWish }: { base?: string | undefined },
): ChainPlan {
  const chain = { name, target, layers };
  const baseAt = baseWish === undefined ? layers.length : indexOf(chain, baseWish);
  refuseSingle(chain);
  const [top] = layers;
  const removed = layers.slice(1, baseAt);
  if (!top || removed.length === 0) {
    const message = `there is nothing between the active layer of disk ${target} of domain ${name} and ${pathAt(layers, baseAt)}: --base must lie further down in the chain (${listed(layers)})`;
    throw new PublishError('USAGE', message, { step: 'inspect' });
  }
  const base = layers[baseAt] ?? null;
  return { kind: 'pull', target, pivots: false, into: top, top, base, removed, modified: [] };
}

type Chain = Parameters<typeof planCommit>[0];

function refuseSingle({ name, target, layers }: Chain): void {
  if (layers.length > 1) return;
  const message = `disk ${target} of domain ${name} has no backing file: its chain is as short as can be`;
  throw new PublishError('CHAIN', message, { step: 'inspect' });
}

function indexOf({ name, target, layers }: Chain, path: string): number {
  const at = layers.findIndex((layer) => layer.path === path || layer.path === resolve(path));
  if (at !== -1) return at;
  const message = `disk ${target} of domain ${name} has no layer ${path}; its chain: ${listed(layers)}`;
  throw new PublishError('USAGE', message, { step: 'inspect' });
}

function pathAt(layers: readonly ChainLayer[], at: number): string {
  return layers[at]?.path ?? 'the end';
}

function listed(layers: readonly ChainLayer[]): string {
  return layers.map(({ path }) => path).join(', ');
}
