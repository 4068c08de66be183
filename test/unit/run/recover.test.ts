// What is read from the journals of dead runs, without any libvirt.
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, readdir, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listRuns, recoverRuns } from '#dist/recover.js';
import { Journal, unsureActs } from '#dist/run/journal.js';
import { askLock, lockDomain } from '#dist/run/lock.js';
import { readBootId } from '#dist/run/run-folder.js';
import { markTakenOver, refuseIfTakenOver } from '#dist/run/take-over.js';

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vp-unit-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

async function makeRun(bootId?: string) {
  const runId = randomUUID();
  const path = join(stateDir, 'runs', runId);
  await mkdir(path, { recursive: true });
  const domain = { name: 'web', uuid: randomUUID() };
  const journal = await Journal.create(join(path, 'journal.ndjson'));
  const boot = bootId ?? (await readBootId());
  const place = { uri: 'qemu:///system', registry: join(stateDir, 'registry'), scratch: path };
  await journal.write({ type: 'run', facts: { runId, pid: 1, bootId: boot, domain, ...place } });
  return { runId, path, domain, journal };
}

test('a run whose domain lock nobody holds is dead; held in its name, it is going', async () => {
  const { runId, domain, journal } = await makeRun();
  await journal.write({ type: 'intent', act: 'mirror', data: {} });
  await journal.close();
  const dead = { runId, state: 'dead', last: 'mirror begun', toMend: ['mirror'], resumable: false };
  expect(await listRuns({ stateDir })).toMatchObject([dead]);
  const own = await lockDomain(domain, runId);
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'going' }]);
  expect(await recoverRuns(await config())).toMatchObject([{ runId, outcome: 'skipped' }]);
  await own.release();
  const guard = await lockDomain(domain, runId, { role: 'guard' });
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'restoring' }]);
  await guard.release();
  const other = await lockDomain(domain, 'another-run');
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'dead' }]);
  await other.release();
});

test('a run of another boot is dead, whoever holds the lock', async () => {
  const { domain, runId, journal } = await makeRun('another boot');
  await journal.close();
  const lock = await lockDomain(domain, runId);
  expect(await listRuns({ stateDir })).toMatchObject([{ state: 'dead' }]);
  await lock.release();
});

test('a run that touched nothing is cleared away with its scratch files', async () => {
  const { journal, path, runId } = await makeRun();
  await journal.close();
  await mkdir(join(path, 'below'));
  expect(await recoverRuns(await config())).toMatchObject([
    { runId, outcome: 'mended', image: null, error: null },
  ]);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
  expect(await recoverRuns(await config())).toEqual([]);
});

test('a folder without an entry is a run that starts, as long as its process lives', async () => {
  const runId = randomUUID();
  const path = join(stateDir, 'runs', runId);
  const lock = await lockDomain({ name: 'web', uuid: randomUUID() }, runId);
  await mkdir(path, { recursive: true });
  expect(await listRuns({ stateDir })).toMatchObject([{ state: 'going', domain: null }]);
  await lock.release();
  expect(await recoverRuns(await config())).toMatchObject([{ outcome: 'mended' }]);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('whoever mends a domain is waited for, and a run is not', async () => {
  const domain = { name: 'web', uuid: randomUUID() };
  const guard = await lockDomain(domain, 'dead', { role: 'guard' });
  setTimeout(() => void guard.release(), 150);
  const lock = await lockDomain(domain, 'next', { waitMs: 5000 });
  expect(await askLock(domain.uuid)).toMatchObject({ runId: 'next', role: 'run' });
  const refused = lockDomain(domain, 'third', { waitMs: 5000 });
  await expect(refused).rejects.toMatchObject({ code: 'DOMAIN_BUSY' });
  await lock.release();
  expect(await askLock(domain.uuid)).toBe('free');
});

test('the last act is unsure until it is done or taken back', () => {
  const time = '';
  const intent = { type: 'intent', time, act: 'freeze', data: null } as const;
  expect(unsureActs([intent])).toEqual([{ act: 'freeze', data: null }]);
  expect(unsureActs([intent, { type: 'done', time, act: 'freeze' }])).toEqual([]);
  expect(unsureActs([intent, { type: 'undone', time, act: 'freeze' }])).toEqual([]);
});

test('a run that its guard has taken over is told so', async () => {
  const { journal, path } = await makeRun();
  await journal.close();
  await refuseIfTakenOver(path, 'quiesce');
  await markTakenOver(path);
  const refused = refuseIfTakenOver(path, 'quiesce');
  await expect(refused).rejects.toMatchObject({ code: 'MIRROR', retryable: true });
});

async function config() {
  const { loadConfig } = await import('#dist/config.js');
  return loadConfig({ env: {}, overrides: { stateDir } });
}
