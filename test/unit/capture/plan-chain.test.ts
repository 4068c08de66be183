// Which layers a commit and a pull take, and what is refused before anything is touched.
import { expect, test } from 'vitest';
import { planCommit, planPull } from '#built/capture/chain/plan-chain.js';
import { refuseLostSnapshots } from '#built/capture/chain/refusals.js';

const layer = (path: string, snapshots: string[] = []) => ({
  ...{ path, format: 'qcow2', virtualSize: 1000, actualSize: 10, snapshots },
});
const layers = ['/d', '/c', '/b', '/a'].map((path) => layer(path));
const chain = { name: 'web', target: 'vda', layers };
const paths = (list: readonly { path: string }[]) => list.map(({ path }) => path);

test.each([
  [{}, ['/d', '/c', '/b'], '/a', true],
  [{ base: '/c' }, ['/d'], '/c', true],
  [{ top: '/c' }, ['/c', '/b'], '/a', false],
  [{ top: '/c', base: '/b' }, ['/c'], '/b', false],
])('commit %j', (wish, leaves, base, pivots) => {
  const plan = planCommit(chain, wish);
  expect({ leaves: paths(plan.leaves), base: plan.base?.path, pivots: plan.pivots }).toEqual({
    ...{ leaves, base, pivots },
  });
  expect(plan.into.path).toBe(base);
  expect(paths(plan.spoils)).toEqual([...leaves, base]);
});

test.each([
  [{}, ['/c', '/b', '/a'], undefined],
  [{ base: '/b' }, ['/c'], '/b'],
])('pull %j', (wish, leaves, base) => {
  const plan = planPull(chain, wish);
  expect(paths(plan.leaves)).toEqual(leaves);
  expect(plan.base?.path).toBe(base);
  expect(plan.into.path).toBe('/d');
  expect(plan.spoils).toEqual([]);
});

test.each([
  [() => planCommit(chain, { base: '/x' }), 'USAGE', /has no layer \/x; its chain: \/d, \/c/],
  [() => planCommit(chain, { base: '/c', top: '/b' }), 'USAGE', /--base must lie below --top/],
  [() => planCommit(chain, { base: '/d' }), 'USAGE', /nothing between/],
  [() => planPull(chain, { base: '/c' }), 'USAGE', /--base must lie further down/],
  [() => planPull({ ...chain, layers: layers.slice(3) }, {}), 'CHAIN', /has no backing file/],
  [() => planCommit({ ...chain, layers: layers.slice(3) }, {}), 'CHAIN', /has no backing file/],
])('refused: %s', (make, code, message) => {
  expect(make).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});

test('internal snapshots are neither lost by a commit nor damaged by a pull', () => {
  const made = { ...chain, layers: [layer('/d', ['old']), layer('/c'), layer('/b', ['older'])] };
  const refused = (what: RegExp) =>
    expect.objectContaining({ message: expect.stringMatching(what) });
  expect(() => refuseLostSnapshots(planPull(made, {}))).toThrow(refused(/\/d .*\(old\).*damage/));
  expect(() => refuseLostSnapshots(planCommit(made, {}))).toThrow(refused(/\/d .*\(old\).*lose/));
  expect(() => refuseLostSnapshots(planCommit(made, { top: '/c' }))).not.toThrow();
});
