// Recovery from the journals of dead runs, without libvirt.
import { randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rename,
  rm,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { listRuns, recoverRuns, resolveRefs } from '#built/recovery/recover.js';
import { assertNotTakenOver, markTakenOver } from '#built/run/guard/take-over.js';
import { Journal, unsureActs } from '#built/run/journal/journal.js';
import { readBootId, readMachineId } from '#built/run/journal/run-folder.js';
import { askLock, lockDomain } from '#built/run/lock/lock.js';
import { lockWholeDomain } from '#built/run/lock/lock-whole.js';

/** A user who is neither root nor the one who runs the tests. */
const OTHER = 65_533;

let stateDir: string;
beforeEach(async () => {
  stateDir = await mkdtemp(join(tmpdir(), 'vp-unit-'));
});
afterEach(() => rm(stateDir, { recursive: true }));

async function makeRun(bootId?: string, machineId?: string, scratch?: string) {
  const runId = randomUUID();
  const path = join(stateDir, 'runs', runId);
  await mkdir(path, { recursive: true });
  const domain = { name: 'web', uuid: randomUUID() };
  const journal = await Journal.create(join(path, 'journal.ndjson'));
  const boot = bootId ?? (await readBootId());
  const machine = machineId ?? (await readMachineId());
  const place = { uri: 'qemu:///system', registry: join(stateDir, 'registry') };
  await journal.write({
    type: 'run',
    facts: {
      runId,
      pid: 1,
      bootId: boot,
      machineId: machine,
      domain,
      scratch: scratch ?? path,
      ...place,
    },
  });
  return { runId, path, domain, journal };
}

test('a run is dead if its domain lock is free, and running if the lock names it', async () => {
  const { runId, domain, journal } = await makeRun();
  await journal.write({ type: 'intent', act: 'mirror', data: {} });
  await journal.close();
  const dead = {
    runId,
    state: 'dead',
    last: 'mirror started',
    pendingUndo: ['mirror'],
    resumable: false,
  };
  expect(await listRuns({ stateDir })).toMatchObject([dead]);
  const own = await lockDomain(domain, runId);
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'running' }]);
  expect(await recoverRuns(await config())).toMatchObject([{ runId, outcome: 'skipped' }]);
  await own.release();
  const guard = await lockDomain(domain, runId, { role: 'guard' });
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'restoring' }]);
  await guard.release();
  const other = await lockDomain(domain, 'another-run');
  expect(await listRuns({ stateDir })).toMatchObject([{ runId, state: 'dead' }]);
  await other.release();
});

test('a run of another boot is dead, even if a process holds the lock', async () => {
  const { domain, runId, journal } = await makeRun('another boot');
  await journal.close();
  const lock = await lockDomain(domain, runId);
  expect(await listRuns({ stateDir })).toMatchObject([{ state: 'dead' }]);
  await lock.release();
});

test('`recover` removes a run without pending acts, with its scratch files', async () => {
  const { journal, path, runId } = await makeRun();
  await journal.close();
  await mkdir(join(path, 'below'));
  expect(await recoverRuns(await config())).toMatchObject([
    { runId, outcome: 'recovered', image: null, error: null },
  ]);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
  expect(await recoverRuns(await config())).toEqual([]);
});

test('a run folder without an entry is a starting run while its process lives', async () => {
  const runId = randomUUID();
  const path = join(stateDir, 'runs', runId);
  const lock = await lockDomain({ name: 'web', uuid: randomUUID() }, runId);
  await mkdir(path, { recursive: true });
  expect(await listRuns({ stateDir })).toMatchObject([{ state: 'running', domain: null }]);
  await lock.release();
  expect(await recoverRuns(await config())).toMatchObject([{ outcome: 'recovered' }]);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('`lockDomain` waits for a guard or a recover, and not for a run', async () => {
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

test('the last act is unsure until it is done or undone', () => {
  const time = '';
  const intent = { type: 'intent', time, act: 'freeze', data: null } as const;
  expect(unsureActs([intent])).toEqual([{ act: 'freeze', data: null }]);
  expect(unsureActs([intent, { type: 'done', time, act: 'freeze' }])).toEqual([]);
  expect(unsureActs([intent, { type: 'undone', time, act: 'freeze' }])).toEqual([]);
});

test('`assertNotTakenOver` throws if the guard has restored the guest', async () => {
  const { journal, path } = await makeRun();
  await journal.close();
  await assertNotTakenOver(path, 'quiesce');
  await markTakenOver(path);
  const refused = assertNotTakenOver(path, 'quiesce');
  await expect(refused).rejects.toMatchObject({ code: 'MIRROR', retryable: true });
});

test('`recover` keeps the volume snapshots of an image that was or may have been active', async () => {
  const point = { means: 'overlay', mark: 'vp-1', volumes: [], aliases: [] };
  const unsure = await makeRun();
  const active = await makeRun();
  for (const { journal } of [unsure, active]) {
    await journal.checkpoint('volumes', point);
    await journal.checkpoint('captured');
  }
  await active.journal.checkpoint('active');
  for (const { journal } of [unsure, active]) await journal.close();

  // The registry is an empty folder, as that of a share that is not mounted.
  const reported = new Map((await recoverRuns(await config())).map((run) => [run.runId, run]));
  const error = { code: 'REGISTRY', retryable: true };
  expect(reported.get(unsure.runId)).toMatchObject({ outcome: 'failed', error });
  expect(reported.get(active.runId)).toMatchObject({ outcome: 'recovered', error: null });
  expect(await readdir(join(stateDir, 'runs'))).toEqual([unsure.runId]);
});

test('`recover` skips a run of another host, and an unreadable run does not stop the others', async () => {
  const foreign = await makeRun('its own boot', 'another machine');
  const torn = await makeRun();
  const good = await makeRun();
  for (const { journal } of [foreign, torn, good]) await journal.close();
  await writeFile(
    join(torn.path, 'journal.ndjson'),
    '\0\0\0\n{"type":"intent","act":"undefine"}\n',
  );
  await writeFile(join(torn.path, 'domain.xml'), '<domain/>');
  const odd = randomUUID();
  await mkdir(join(stateDir, 'runs', odd, 'journal.ndjson'), { recursive: true });

  const reported = new Map((await recoverRuns(await config())).map((run) => [run.runId, run]));
  expect(reported.get(good.runId)?.outcome).toBe('recovered');
  expect(reported.get(foreign.runId)).toMatchObject({ outcome: 'skipped', error: null });
  for (const runId of [torn.runId, odd])
    expect(reported.get(runId)).toMatchObject({ outcome: 'failed', error: { code: 'WORK_DIR' } });
  expect(reported.get(torn.runId)?.error?.message).toContain(join(torn.path, 'domain.xml'));
  expect((await readdir(join(stateDir, 'runs'))).sort()).toEqual(
    [foreign.runId, torn.runId, odd].sort(),
  );
  const states = (await listRuns({ stateDir })).map(({ state }) => state);
  expect(states.sort()).toEqual(['foreign', 'unreadable', 'unreadable']);
});

test('`recover` reports and skips a run that another user may have written, and reads nothing of it', async () => {
  const precious = join(stateDir, 'precious');
  await mkdir(precious);
  const runs = [await makeRun('', undefined, precious), await makeRun('', undefined, precious)];
  const linked = await makeRun('', undefined, precious);
  for (const { journal } of [...runs, linked]) await journal.close();
  const [owned, open] = runs.map(({ path }) => path) as [string, string];
  await chown(owned, OTHER, OTHER);
  await chmod(open, 0o777);
  await rename(join(linked.path, 'journal.ndjson'), join(stateDir, 'planted'));
  await symlink(join(stateDir, 'planted'), join(linked.path, 'journal.ndjson'));

  const reported = await recoverRuns(await config());
  const skipped = { outcome: 'skipped', domain: null, error: null };
  expect(reported).toMatchObject([skipped, skipped, skipped]);
  expect(reported.map(({ notes }) => notes.join()).join('\n')).toMatch(/another user.*by hand/);
  const states = (await listRuns({ stateDir })).map(({ state }) => state);
  expect(states).toEqual(['untrusted', 'untrusted', 'untrusted']);
  expect(await readdir(precious)).toEqual([]);
  expect(await readdir(join(stateDir, 'runs'))).toHaveLength(3);
});

test('`recover` rejects a state directory of another user', async () => {
  await (await makeRun()).journal.close();
  for (const path of [stateDir, join(stateDir, 'runs')]) {
    await chown(path, OTHER, OTHER);
    await expect(recoverRuns(await config())).rejects.toMatchObject({ code: 'WORK_DIR' });
    await expect(listRuns({ stateDir })).rejects.toMatchObject({ code: 'WORK_DIR' });
    await chown(path, 0, 0);
  }
});

test('`recover` removes a run but not a scratch folder that the run cannot have made', async () => {
  const precious = join(stateDir, 'precious');
  await mkdir(precious);
  await writeFile(join(precious, 'file'), '');
  const { runId, journal } = await makeRun(undefined, undefined, precious);
  await journal.close();
  const [reported] = await recoverRuns(await config());
  expect(reported).toMatchObject({ runId, outcome: 'recovered', error: null });
  expect(reported?.notes.join()).toContain(
    `${precious} is not removed: its name is not the run's id`,
  );
  expect(await readdir(precious)).toEqual(['file']);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('`recover` recovers a run whose work directory is missing or a file', async () => {
  await writeFile(join(stateDir, 'file'), '');
  await symlink('loop', join(stateDir, 'loop'));
  for (const workDir of ['none', 'file', 'loop']) {
    const { path, runId, journal } = await makeRun();
    await journal.close();
    const file = join(path, 'journal.ndjson');
    const text = await readFile(file, 'utf8');
    const scratch = join(stateDir, workDir, runId);
    await writeFile(file, text.replace(`"scratch":"${path}"`, `"scratch":"${scratch}"`));
    const reported = await recoverRuns(await config());
    expect(reported, workDir).toMatchObject([
      { runId, outcome: 'recovered', notes: [], error: null },
    ]);
  }
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('`lockWholeDomain` recovers again if a run died between the recovery and the lock', async () => {
  const { domain, journal, runId: dead } = await makeRun();
  await journal.write({ type: 'intent', act: 'undefine', data: {} });
  const attempts: string[] = [];
  const recoverEarlier = async () => {
    attempts.push(typeof (await askLock(domain.uuid)) === 'string' ? 'free' : 'held');
    if (attempts.length === 2) await journal.write({ type: 'undone', act: 'undefine' });
    return [];
  };
  const lock = await lockWholeDomain(domain, { stateDir, runId: 'next', recoverEarlier });
  expect(attempts).toEqual(['free', 'free']);
  await lock.release();
  await journal.write({ type: 'intent', act: 'undefine', data: {} });
  const refused = lockWholeDomain(domain, { stateDir, runId: 'next', recoverEarlier });
  await expect(refused).rejects.toMatchObject({
    code: 'DOMAIN_BUSY',
    message: expect.stringContaining(`after run ${dead}`),
    hint: `run virt-publish recover ${dead} first`,
  });
  expect(await askLock(domain.uuid)).toBe('free');
  const locking = lockWholeDomain(domain, {
    stateDir,
    runId: 'next',
    recoverEarlier: async () => [dead],
  });
  await (await locking).release();
  await journal.close();
});

async function config() {
  const { loadConfig } = await import('#built/config/config.js');
  return loadConfig({ env: {}, overrides: { stateDir } });
}

test('`resolveRefs` accepts an id or its beginning, and rejects an id without a run', async () => {
  const { runId, domain, journal } = await makeRun();
  await journal.close();
  const names = [runId, domain.name, domain.uuid, 'another-domain', 'db'];
  expect(await resolveRefs(stateDir, [...names, runId.slice(0, 8)])).toEqual([...names, runId]);
  for (const unknown of [randomUUID(), `${runId.slice(0, 8)}-ffff`, '00000000'])
    await expect(resolveRefs(stateDir, [domain.name, unknown])).rejects.toMatchObject({
      ...{ code: 'USAGE', message: expect.stringMatching(`UUID ${unknown} \\(${runId}\\)$`) },
      hint: 'run virt-publish status to list the runs',
    });
  expect(await resolveRefs(join(stateDir, 'none'), [])).toEqual([]);
  await expect(resolveRefs(join(stateDir, 'none'), ['00000000'])).rejects.toThrow(/UUID 00000000$/);
});

test('`resolveRefs` rejects the beginning of several ids', async () => {
  for (const end of ['0', '1']) {
    const runId = `aaaaaaaa-0000-4000-8000-00000000000${end}`;
    await mkdir(join(stateDir, 'runs', runId), { recursive: true });
  }
  await expect(resolveRefs(stateDir, ['aaaaaaaa'])).rejects.toMatchObject({ code: 'USAGE' });
});
