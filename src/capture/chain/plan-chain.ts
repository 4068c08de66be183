// Plans a commit or a pull: the layers that it writes, and those that it removes from the chain. Pure.
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
  /** The ends of a commit; for a pull, `base` is the layer that stays below, null if none does. */
  top: ChainLayer;
  base: ChainLayer | null;
  /** Layers that the job removes from the chain. */
  removed: ChainLayer[];
  /** Layers whose other readers would read wrong data: for a commit, `base` and all above it. */
  modified: ChainLayer[];
}

/** @throws PublishError USAGE, CHAIN if a layer does not exist, or there is nothing to do */
export function planCommit(
  { name, target, layers }: { name: string; target: string; layers: readonly ChainLayer[] },
  {
    base: requestedBase,
    top: requestedTop,
  }: { base?: string | undefined; top?: string | undefined },
): ChainPlan {
  const chain = { name, target, layers };
  const topAt = requestedTop === undefined ? 0 : indexOf(chain, requestedTop);
  const baseAt = requestedBase === undefined ? layers.length - 1 : indexOf(chain, requestedBase);
  assertNotSingle(chain);
  if (baseAt <= topAt) {
    const message = `disk ${target} of domain ${name} has nothing to commit from ${pathAt(layers, topAt)} to ${pathAt(layers, baseAt)}; its chain: ${listed(layers)}`;
    const hint = 'choose a --base below --top in the chain';
    throw new PublishError('USAGE', message, { step: 'inspect', hint });
  }
  const removed = layers.slice(topAt, baseAt);
  const [top] = removed;
  const base = layers[baseAt];
  if (!top || !base) throw new Error('a commit has two ends');
  const modified = [...removed, base];
  return { kind: 'commit', target, pivots: topAt === 0, into: base, top, base, removed, modified };
}

/** @throws PublishError USAGE, CHAIN if a layer does not exist, or there is nothing to do */
export function planPull(
  { name, target, layers }: { name: string; target: string; layers: readonly ChainLayer[] },
  { base: requestedBase }: { base?: string | undefined },
): ChainPlan {
  const chain = { name, target, layers };
  const baseAt = requestedBase === undefined ? layers.length : indexOf(chain, requestedBase);
  assertNotSingle(chain);
  const [top] = layers;
  const removed = layers.slice(1, baseAt);
  if (!top || removed.length === 0) {
    const message = `disk ${target} of domain ${name} has no layer between the active one and ${pathAt(layers, baseAt)}; its chain: ${listed(layers)}`;
    const hint = 'choose a --base further down in the chain';
    throw new PublishError('USAGE', message, { step: 'inspect', hint });
  }
  const base = layers[baseAt] ?? null;
  return { kind: 'pull', target, pivots: false, into: top, top, base, removed, modified: [] };
}

type Chain = Parameters<typeof planCommit>[0];

function assertNotSingle({ name, target, layers }: Chain): void {
  if (layers.length > 1) return;
  const message = `disk ${target} of domain ${name} has no backing file, so its chain cannot be shortened`;
  throw new PublishError('CHAIN', message, { step: 'inspect', hint: 'nothing is to be done' });
}

function indexOf({ name, target, layers }: Chain, path: string): number {
  const at = layers.findIndex((layer) => layer.path === path || layer.path === resolve(path));
  if (at !== -1) return at;
  const message = `disk ${target} of domain ${name} has no layer ${path}; its chain: ${listed(layers)}`;
  throw new PublishError('USAGE', message, { step: 'inspect', hint: 'name one of these layers' });
}

function pathAt(layers: readonly ChainLayer[], at: number): string {
  return layers[at]?.path ?? 'the end';
}

function listed(layers: readonly ChainLayer[]): string {
  return layers.map(({ path }) => path).join(', ');
}
