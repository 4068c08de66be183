// The scratch folder of a dead process is removed; that of a living or unknown process stays.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { chown, mkdir, mkdtemp, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { sweepScratch, withScratchFolder } from '#built/run/journal/scratch-folder.js';

let workDir: string;
beforeEach(async () => {
  workDir = await mkdtemp(join(tmpdir(), 'vp-unit-'));
});
afterEach(() => rm(workDir, { recursive: true }));

/** A process that has a scratch folder and does not end by itself. */
async function startOwner(): Promise<ChildProcess> {
  const module = new URL('../../../build/run/journal/scratch-folder.js', import.meta.url).href;
  const script = `const { withScratchFolder } = await import(${JSON.stringify(module)});
    await withScratchFolder(${JSON.stringify(workDir)}, 'import', async (folder) => {
      console.log(folder); await new Promise((done) => setTimeout(done, 60_000)); });`;
  const child = spawn(process.execPath, ['--input-type=module', '-e', script]);
  await once(child.stdout, 'data');
  return child;
}

test('a scratch folder stays while its process lives, and the next process removes it after kill -9', async () => {
  const child = await startOwner();
  await sweepScratch(workDir);
  expect(await readdir(workDir)).toHaveLength(1);
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
  const [left = ''] = await readdir(workDir);
  const owner = JSON.parse(await readFile(join(workDir, left, 'owner.json'), 'utf8'));
  await withScratchFolder(workDir, 'pull', async (folder) => {
    expect(await readdir(workDir)).toEqual([folder.slice(workDir.length + 1)]);
    await sweepScratch(workDir);
    expect(await readdir(workDir)).toHaveLength(1);
  });
  expect(await readdir(workDir)).toEqual([]);

  // A pid that was given again, and another boot of this host; then what proves nothing.
  const id = '00000000-0000-0000-0000-00000000000';
  const cases = {
    [`import-${id}1`]: { ...owner, pid: process.pid },
    [`import-${id}2`]: { ...owner, pid: process.pid, bootId: 'another' },
    [`pull-${id}3`]: { ...owner, machineId: 'another', bootId: 'another' },
    [`pull-${id}4`]: { ...owner, pidNamespace: 'pid:[1]' },
    [`${id}5`]: owner,
    'import-notes': owner,
  };
  for (const [name, facts] of Object.entries(cases)) {
    await mkdir(join(workDir, name));
    await writeFile(join(workDir, name, 'owner.json'), JSON.stringify(facts));
  }
  await mkdir(join(workDir, `import-${id}6`));
  const planted = join(workDir, `pull-${id}7`);
  await mkdir(planted);
  await writeFile(join(planted, 'owner.json'), JSON.stringify({ ...owner, bootId: 'another' }));
  await chown(planted, 65_533, 65_533);
  const failed: string[] = [];
  const removed: string[] = [];
  await sweepScratch(workDir, {
    onRemoved: (folder) => removed.push(folder),
    onFailed: (folder, error) => failed.push(`${folder}: ${error}`),
  });
  expect(removed.map((path) => path.slice(-1)).sort()).toEqual(['1', '2']);
  expect(failed).toMatchObject([expect.stringMatching(/pull-.*7: .*another user/)]);
  expect(await readdir(workDir)).toHaveLength(6);
});
