// The scope journals each act before it begins, and undoes newest first, whatever fails.
import { mkdtemp, readFile, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { GuestScope, NotYet } from '#built/run/guest-scope.js';
import { Journal, pendingActs, readJournal, unsureActs } from '#built/run/journal/journal.js';

let folder: string;
let journal: Journal;
let log: string[];
let failing: Set<string>;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  journal = await Journal.create(join(folder, 'journal.ndjson'));
  log = [];
  failing = new Set();
});
afterEach(async () => {
  await journal.close();
  await rm(folder, { recursive: true });
});

function act(name: string) {
  return {
    name,
    async undo(_context: null, data: unknown) {
      log.push(`undo ${name} ${JSON.stringify(data)}`);
      if (failing.has(name)) throw new Error(`${name} cannot be undone`);
      return undefined;
    },
    recoveryCommand: () => `recover-${name}`,
  };
}

const [define, mirror, freeze] = [act('define'), act('mirror'), act('freeze')];

function openScope(): GuestScope<null> {
  const acts = { define, mirror, freeze };
  return new GuestScope({ journal, acts, context: null, onNote: (note) => log.push(note) });
}

const entries = () => readJournal(join(folder, 'journal.ndjson'));

test('`perform` writes the intent before the act begins, and `done` after it', async () => {
  const scope = openScope();
  await scope.perform(define, { a: 1 }, async () => {
    expect((await entries()).map(({ type }) => type)).toEqual(['intent']);
  });
  expect((await entries()).map(({ type }) => type)).toEqual(['intent', 'done']);
  expect(scope.isPending).toBe(true);
});

test('`restore` undoes an act that failed', async () => {
  const scope = openScope();
  const failure = scope.perform(define, 'x', () => Promise.reject(new Error('no')));
  await expect(failure).rejects.toThrow('no');
  expect(await scope.restore()).toEqual([]);
  expect(log).toEqual(['undo define "x"']);
});

test('`restore` undoes newest first, and a failed undo does not stop the others', async () => {
  const scope = openScope();
  for (const one of [define, mirror, freeze]) await scope.perform(one, null, async () => undefined);
  failing.add('mirror');
  const failures = await scope.restore();
  const again = ['undo mirror null', 'undo mirror null'];
  expect(log).toEqual(['undo freeze null', 'undo mirror null', 'undo define null', ...again]);
  expect(failures).toMatchObject([
    { recoveryCommand: 'recover-mirror', message: expect.stringContaining('mirror') },
  ]);
  expect(pendingActs(await entries())).toEqual([{ act: 'mirror', data: null }]);
});

test('a failed undo stays pending, and the next `restore` retries it', async () => {
  const scope = openScope();
  await scope.perform(define, null, async () => undefined);
  failing.add('define');
  await scope.undo(define);
  expect(scope.isPending).toBe(true);
  failing.clear();
  expect(await scope.restore()).toEqual([]);
  expect(scope.isPending).toBe(false);
  expect(pendingActs(await entries())).toEqual([]);
});

test('`restore` does not undo an act that is marked as undone', async () => {
  const scope = openScope();
  await scope.perform(mirror, null, async () => undefined);
  await scope.markUndone(mirror);
  expect(await scope.restore()).toEqual([]);
  expect(log).toEqual([]);
});

test('a renewed act is undone once with its newest data, and is unsure until it is done', async () => {
  const scope = openScope();
  await scope.perform(define, { autostart: true }, async () => {
    await scope.renew(define, { autostart: false });
    expect(unsureActs(await entries())).toEqual([{ act: 'define', data: { autostart: false } }]);
  });
  expect(unsureActs(await entries())).toEqual([]);
  expect(pendingActs(await entries())).toEqual([{ act: 'define', data: { autostart: false } }]);
  expect(await scope.restore()).toEqual([]);
  expect(log).toEqual(['undo define {"autostart":false}']);
  expect(pendingActs(await entries())).toEqual([]);
});

test('the journal distinguishes acts of one name, and `markUndone` marks all of them', async () => {
  const scope = openScope();
  for (const target of ['vda', 'vdb', 'vdc'])
    await scope.perform(mirror, { target }, async () => undefined);
  const undo = mirror.undo;
  mirror.undo = async (context, data) => {
    await undo(context, data);
    if (JSON.stringify(data).includes('vdb')) throw new Error('busy');
    return undefined;
  };
  await scope.undo(mirror);
  mirror.undo = undo;
  expect(log[0]).toContain('vdc');
  expect(pendingActs(await entries())).toEqual([{ act: 'mirror', data: { target: 'vdb' } }]);
  await scope.perform(mirror, { target: 'vdd' }, async () => undefined);
  await scope.markUndone(mirror);
  expect(pendingActs(await entries())).toEqual([]);
  expect(scope.isPending).toBe(false);
});

test('a scope made from a journal undoes the pending acts of a dead run', async () => {
  const first = openScope();
  await first.perform(define, { xml: 'p' }, async () => undefined);
  await first.perform(mirror, { target: 'vda' }, async () => undefined);
  await first.markUndone(mirror);
  const pending = pendingActs(await entries());
  const acts = { define, mirror, freeze };
  const second = new GuestScope({ journal, acts, context: null, onNote: () => undefined }, pending);
  expect(await second.restore()).toEqual([]);
  expect(log).toEqual(['undo define {"xml":"p"}']);
});

test('`undo` resolves to the moment of the undo, before the journal entry; to now if nothing was pending', async () => {
  const scope = openScope();
  await scope.perform(freeze, null, async () => undefined);
  const before = performance.now();
  const undoneAt = await scope.undo(freeze);
  expect(log).toEqual(['undo freeze null']);
  expect(undoneAt).toBeGreaterThan(before);
  await scope.perform(freeze, null, async () => undefined);
  failing.add('freeze');
  const after = performance.now();
  expect(after).toBeGreaterThan(undoneAt);
  expect(await scope.undo(freeze)).toBeGreaterThan(after);
  expect(await scope.undo(mirror)).toBeGreaterThan(after);
});

test('secret data of an act reaches the undo and the listeners, and no file', async () => {
  const secretive = { ...define, toJournal: ({ path }: { path: string }) => ({ path }) };
  const scope = new GuestScope({
    ...{ journal, context: null, onNote: (note: string) => log.push(note) },
    acts: { define: secretive as unknown as typeof define },
  });
  const heard: unknown[] = [];
  journal.onWritten((_entry, inMemory) => heard.push('data' in inMemory && inMemory.data));
  await scope.perform(secretive, { path: '/p', xml: 'password' }, async () => undefined);
  expect(heard[0]).toEqual({ path: '/p', xml: 'password' });
  expect(pendingActs(await entries())).toEqual([{ act: 'define', data: { path: '/p' } }]);
  expect(await scope.restore()).toEqual([]);
  expect(log).toEqual(['undo define {"path":"/p","xml":"password"}']);
  expect(pendingActs(await entries())).toEqual([]);
  expect(await readFile(join(folder, 'journal.ndjson'), 'utf8')).not.toContain('password');
});

test('`restore` retries an undo that may pass soon, and not that of a parked guest', async () => {
  const tries = { soon: 0, parked: 0 };
  const failing = (name: 'soon' | 'parked', times: number) => ({
    ...act(name),
    undo: async () => {
      tries[name] += 1;
      if (tries[name] <= times) throw new NotYet(`not yet`, { isParked: name === 'parked' });
      return undefined;
    },
  });
  const [soon, parked] = [failing('soon', 5), failing('parked', 99)];
  const onNote = (note: string) => log.push(note);
  const scope = new GuestScope({ journal, acts: { soon, parked }, context: null, onNote });
  await scope.perform(parked, null, async () => undefined);
  await scope.perform(soon, null, async () => undefined);

  const failures = await scope.restore({ waitMs: 60_000 });

  expect(tries.soon).toBe(6);
  expect(log).toEqual([expect.stringContaining('waiting for the guest to come back')]);
  expect(failures).toHaveLength(1);
  expect(failures[0]).toMatchObject({
    act: 'parked',
    isParked: true,
    recoveryCommand: 'recover-parked',
  });
  expect(await scope.restore({ waitMs: 0 })).toHaveLength(1);
});
