// The journal: its mode, incomplete lines, and the order of pending acts.
import { appendFile, mkdtemp, rm, stat } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { Journal, pendingActs, readJournal, runFacts } from '#built/run/journal/journal.js';

let folder: string;
let path: string;

beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  path = join(folder, 'journal.ndjson');
});
afterEach(() => rm(folder, { recursive: true }));

const facts = {
  runId: 'r',
  pid: 1,
  bootId: 'b',
  machineId: null,
  uri: 'qemu:///system',
  domain: { name: 'web', uuid: 'u' },
  registry: '/r',
  scratch: '/s',
};

test('the journal has mode 0600', async () => {
  await (await Journal.create(path)).close();
  expect((await stat(path)).mode & 0o777).toBe(0o600);
});

test('an incomplete last line is no entry, and a reopened journal appends after it', async () => {
  const journal = await Journal.create(path);
  await journal.write({ type: 'run', facts });
  await journal.write({ type: 'intent', act: 'freeze', data: null });
  await journal.close();
  await appendFile(path, '{"type":"undone","act":"fre');

  expect(pendingActs(await readJournal(path))).toEqual([{ act: 'freeze', data: null }]);

  const again = await Journal.reopen(path);
  await again.write({ type: 'undone', act: 'freeze' });
  await again.close();
  const entries = await readJournal(path);
  expect(runFacts(entries)).toEqual(facts);
  expect(pendingActs(entries)).toEqual([]);
});

test('a journal with only an incomplete line has no entries', async () => {
  const journal = await Journal.create(path);
  await journal.close();
  await appendFile(path, '{"type":"ru');
  expect(await readJournal(path)).toEqual([]);
  expect(runFacts([])).toBeUndefined();
});

test('`undone` removes the newer of two acts of one name', () => {
  const time = '';
  expect(
    pendingActs([
      { type: 'intent', time, act: 'detach', data: 1 },
      { type: 'intent', time, act: 'detach', data: 2 },
      { type: 'undone', time, act: 'detach' },
    ]),
  ).toEqual([{ act: 'detach', data: 1 }]);
});
