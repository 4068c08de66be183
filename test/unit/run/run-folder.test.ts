// State, work and run folders: QEMU's user can pass them, and no other user can change them.
import { randomUUID } from 'node:crypto';
import {
  chmod,
  chown,
  lchown,
  mkdir,
  mkdtemp,
  readdir,
  readFile,
  rm,
  stat,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import {
  isTrustedFolder,
  makeFolders,
  makeRunFolder,
  PRIVATE,
  prepareFolder,
} from '#built/host/files/own-folders.js';
import { removeFolder } from '#built/host/files/remove-folder.js';
import { Host } from '#built/libvirt/host.js';
import { withProbeFolder } from '#built/operations/doctor/probe-folder.js';
import { withScratchFolder } from '#built/run/journal/scratch-folder.js';
import { withRun } from '#built/run/open-run.js';
import { DirectoryStore } from '#built/store/directory/directory-store.js';

/** A user who is neither root nor the one who runs the tests. */
const OTHER = 65_533;

let folder: string;
let stateDir: string;
beforeEach(async () => {
  folder = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  stateDir = join(folder, 'above/state');
});
afterEach(() => rm(folder, { recursive: true }));

async function modeOf(path: string): Promise<number> {
  return (await stat(path)).mode & 0o7777;
}

async function withUmask<T>(mask: number, work: () => Promise<T>): Promise<T> {
  const before = process.umask(mask);
  try {
    return await work();
  } finally {
    process.umask(before);
  }
}

function startRun(workDir: string, work: (scratch: string) => Promise<void>, forQemu = true) {
  const host = new Host('test:///default', { callMs: 1000 });
  const place = { stateDir, workDir, host, forQemu, onWarning: String };
  const domain = { name: 'web', uuid: randomUUID() };
  const facts = { runId: randomUUID(), uri: 'test:///default', domain, registry: null };
  return withRun(facts, place, (run) => work(run.folder.scratch));
}

const nothing = async () => undefined;
const firstUses: [string, () => Promise<unknown>][] = [
  ['a snapshot', () => startRun(join(stateDir, 'runs'), nothing)],
  ['an import or pull', () => withScratchFolder(join(stateDir, 'runs'), 'import', nothing)],
  ['doctor', () => withProbeFolder(join(stateDir, 'runs'), nothing)],
  [
    'a look at the default registry',
    () => new DirectoryStore(`${stateDir}/registry`, { makeParents: true }).checkAccess(),
  ],
  [
    'a write to the default registry',
    async () => {
      const store = new DirectoryStore(`${stateDir}/registry`, { makeParents: true });
      await store.makePlace();
      await store.create('a/b', Buffer.from('x'));
    },
  ],
  [
    'the first write to an S3 registry',
    async () => makeFolders(`${stateDir}/cache/registries/x`, PRIVATE),
  ],
];

test.each(firstUses)(
  'QEMU can reach the delta if the state directory was made by %s',
  async (_, first) => {
    for (const mask of [0o022, 0o077]) {
      await withUmask(mask, async () => {
        await first();
        await startRun(join(stateDir, 'runs'), async (scratch) => {
          for (const path of [`${folder}/above`, stateDir, join(stateDir, 'runs'), scratch])
            expect(await modeOf(path), path).toBe(0o711);
        });
      });
      await rm(join(folder, 'above'), { recursive: true });
    }
  },
);

test('state and work directories that an earlier version closed are opened', async () => {
  const workDir = join(folder, 'work');
  await mkdir(join(stateDir, 'runs'), { recursive: true });
  await mkdir(join(workDir, `import-${randomUUID()}`), { recursive: true });
  const closed = [stateDir, join(stateDir, 'runs'), workDir];
  for (const path of closed) await chmod(path, 0o700);
  await startRun(workDir, async () => {
    for (const path of closed) expect(await modeOf(path), path).toBe(0o711);
  });
});

test('a closed directory with other files of its owner stays closed', async () => {
  const workDir = join(folder, 'home');
  await mkdir(workDir, { mode: 0o700 });
  await writeFile(join(workDir, 'letter'), '');
  await startRun(workDir, async () => expect(await modeOf(workDir)).toBe(0o700));
});

test('a run folder has mode 0711 only if QEMU opens a file in it', async () => {
  const workDir = join(folder, 'work');
  const look = async (scratch: string) => {
    const [runId = ''] = await readdir(join(stateDir, 'runs'));
    return [await modeOf(scratch), await modeOf(join(stateDir, 'runs', runId))];
  };
  await startRun(workDir, async (scratch) => expect(await look(scratch)).toEqual([0o711, 0o700]));
  const offline = async (scratch: string) => expect(await look(scratch)).toEqual([0o700, 0o700]);
  await startRun(workDir, offline, false);
});

test('one folder serves as run and scratch folder if the work directory is `runs`, by any path', async () => {
  await mkdir(join(stateDir, 'runs'), { recursive: true });
  await symlink(stateDir, join(folder, 'link'));
  for (const workDir of [`${stateDir}/runs/`, `${folder}/link/runs`])
    await startRun(workDir, async (scratch) => {
      expect(await readdir(scratch)).toEqual(['journal.ndjson']);
    });
});

test('a work directory that is a file is rejected before the journal exists', async () => {
  const file = join(folder, 'file');
  await writeFile(file, '');
  for (const workDir of [file, join(file, 'below'), '/dev/null'])
    await expect(startRun(workDir, nothing)).rejects.toMatchObject({
      code: 'WORK_DIR',
      message: expect.stringContaining(workDir),
    });
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('a directory that another user could change is rejected with the reason', async () => {
  const path = join(folder, 'shared');
  await mkdir(path);
  await symlink(path, join(folder, 'link'));
  await lchown(join(folder, 'link'), OTHER, OTHER);
  const refuses = async (at: string, reason: RegExp, hint = /^choose another directory/) => {
    const error = {
      ...{ code: 'WORK_DIR', message: expect.stringMatching(reason) },
      hint: expect.stringMatching(hint),
    };
    await expect(prepareFolder(at)).rejects.toMatchObject(error);
    await expect(isTrustedFolder(at)).rejects.toMatchObject(error);
  };
  await refuses(join(folder, 'link'), /is a symbolic link of another user/);
  for (const mode of [0o777, 0o770, 0o702]) {
    await chmod(path, mode);
    await refuses(
      path,
      /other users may change the content of/,
      /^chmod go-w .*, or choose another/,
    );
  }
  await chmod(path, 0o1777);
  await prepareFolder(path);
  await chown(path, OTHER, OTHER);
  await refuses(path, /belongs to another user/);
  expect(await isTrustedFolder(join(folder, 'none'))).toBe(false);
});

test('a planted folder with the name of a run is rejected and not changed', async () => {
  const path = join(folder, randomUUID());
  await symlink(folder, path);
  await expect(makeRunFolder(path, 0o711)).rejects.toMatchObject({ code: 'WORK_DIR' });
  await mkdir(join(folder, 'made'));
  const taken = makeRunFolder(join(folder, 'made'), 0o711);
  await expect(taken).rejects.toMatchObject({ code: 'WORK_DIR' });
  expect(await modeOf(join(folder, 'made'))).not.toBe(0o711);
});

test('a folder is removed with its content, and not the target of a link in it', async () => {
  const kept = join(folder, 'kept');
  await mkdir(kept);
  await writeFile(join(kept, 'file'), 'kept');
  const run = join(folder, 'run');
  await mkdir(join(run, 'below'), { recursive: true });
  await writeFile(join(run, 'below/file'), '');
  await symlink(kept, join(run, 'link'));
  await symlink(kept, join(run, 'below/link'));
  await symlink(kept, join(folder, 'linked'));
  await removeFolder(run);
  await expect(removeFolder(join(folder, 'linked'))).rejects.toMatchObject({ code: 'WORK_DIR' });
  expect(await readFile(join(kept, 'file'), 'utf8')).toBe('kept');
  expect((await readdir(folder)).sort()).toEqual(['kept', 'linked']);
  await chown(kept, OTHER, OTHER);
  await expect(removeFolder(kept)).rejects.toMatchObject({ code: 'WORK_DIR' });
  expect(await readdir(kept)).toEqual(['file']);
  await removeFolder(join(folder, 'none'));
  await removeFolder(join(kept, 'file/below'));
});
