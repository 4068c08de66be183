// Which layers a commit and a pull take, and what is refused before anything is touched.
import { expect, test } from 'vitest';
import { assertNoSnapshotLost } from '#built/capture/chain/chain-assertions.js';
import { planCommit, planPull } from '#built/capture/chain/plan-chain.js';

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
])('`planCommit` with %j', (requested, removed, base, pivots) => {
  const plan = planCommit(chain, requested);
  expect({ removed: paths(plan.removed), base: plan.base?.path, pivots: plan.pivots }).toEqual({
    ...{ removed, base, pivots },
  });
  expect(plan.into.path).toBe(base);
  expect(paths(plan.modified)).toEqual([...removed, base]);
});

test.each([
  [{}, ['/c', '/b', '/a'], undefined],
  [{ base: '/b' }, ['/c'], '/b'],
])('`planPull` with %j', (requested, removed, base) => {
  const plan = planPull(chain, requested);
  expect(paths(plan.removed)).toEqual(removed);
  expect(plan.base?.path).toBe(base);
  expect(plan.into.path).toBe('/d');
  expect(plan.modified).toEqual([]);
});

test.each([
  [() => planCommit(chain, { base: '/x' }), 'USAGE', /has no layer \/x; its chain: \/d, \/c/],
  [
    () => planCommit(chain, { base: '/c', top: '/b' }),
    'USAGE',
    /nothing to commit from \/b to \/c/,
  ],
  [() => planCommit(chain, { base: '/d' }), 'USAGE', /nothing to commit from \/d to \/d/],
  [() => planPull(chain, { base: '/c' }), 'USAGE', /no layer between the active one and \/c/],
  [() => planPull({ ...chain, layers: layers.slice(3) }, {}), 'CHAIN', /has no backing file/],
  [() => planCommit({ ...chain, layers: layers.slice(3) }, {}), 'CHAIN', /has no backing file/],
])('a plan is rejected: %s', (make, code, message) => {
  expect(make).toThrow(expect.objectContaining({ code, message: expect.stringMatching(message) }));
});

test('`assertNoSnapshotLost` rejects a commit that loses and a pull that damages internal snapshots', () => {
  const made = { ...chain, layers: [layer('/d', ['old']), layer('/c'), layer('/b', ['older'])] };
  const refused = (what: RegExp) =>
    expect.objectContaining({ message: expect.stringMatching(what) });
  expect(() => assertNoSnapshotLost(planPull(made, {}))).toThrow(
    refused(/damage .*\(old\).* \/d /),
  );
  expect(() => assertNoSnapshotLost(planCommit(made, {}))).toThrow(
    refused(/lose .*\(old\).* \/d /),
  );
  expect(() => assertNoSnapshotLost(planCommit(made, { top: '/c' }))).not.toThrow();
});
