// `chain show`, `commit` and `pull` on a real guest, judged by qemu-img and virsh.
import { existsSync } from 'node:fs';
import { rename, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeChain } from '../support/chains.ts';
import { cleanUpLater } from '../support/cleanup.ts';
import { type CliResult, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomainOn, type TestDomain, virsh } from '../support/domains.ts';
import { must, run } from '../support/exec.ts';
import { expectNoRunLeft } from '../support/publishing.ts';

interface Report {
  code?: string;
  message?: string;
  hint?: string;
  chain?: { layers: { path: string; format: string }[] };
  unused?: { path: string; removed: boolean; reason: string | null }[];
}

let sandbox: Sandbox;

async function chain(...args: string[]): Promise<CliResult & { reported: Report }> {
  const ran = await runCli(['chain', ...args, '--json'], { sandbox });
  return { ...ran, reported: ran.events.at(-1) as Report };
}

async function shorten(...args: string[]): Promise<Report> {
  const ran = await chain(...args);
  expect(ran.exitCode, ran.stdout).toBe(0);
  await expectNoRunLeft(sandbox);
  return ran.reported;
}

/** `expected` matches the message and the hint. */
async function expectFailure(exitCode: number, expected: RegExp, ...args: string[]): Promise<void> {
  const ran = await chain(...args);
  expect(`${ran.reported.message}; ${ran.reported.hint}`, ran.stderr).toMatch(expected);
  expect(ran.exitCode).toBe(exitCode);
}

/** The layers as qemu-img follows them from the disk that libvirt has. */
async function layersOf(domain: TestDomain): Promise<string[]> {
  const [, source = ''] = /^ ?vda +(.*)$/m.exec(await domain.virsh('domblklist')) ?? [];
  const args = ['info', '--force-share', '--backing-chain', '--output=json', source];
  const infos = JSON.parse(await must('qemu-img', args)) as { filename: string }[];
  return infos.map(({ filename }) => filename);
}

/** NOTE: QEMU flushes all its caches at a stop, of a stopped guest too: the files are all there is then. */
async function contentOf(domain: TestDomain, file: string): Promise<string> {
  await domain.virsh('qemu-monitor-command', '--hmp', 'stop');
  const [active = ''] = await layersOf(domain);
  const format = active.endsWith('.raw') ? 'raw' : 'qcow2';
  await must('qemu-img', ['convert', '-U', '-f', format, '-O', 'raw', active, file]);
  return file;
}

/** Runs `work` while the guest is paused, and holds what the guest sees against what it saw. */
async function keepingContent(domain: TestDomain, work: () => Promise<unknown>): Promise<void> {
  await domain.virsh('suspend');
  const before = await contentOf(domain, join(sandbox.dir, 'before.raw'));
  await work();
  const after = await contentOf(domain, join(sandbox.dir, 'after.raw'));
  const compared = await run('qemu-img', ['compare', '-f', 'raw', '-F', 'raw', before, after]);
  expect(compared.stdout).toContain('Images are identical');
  expect(await domain.blockJob()).toBeNull();
  await domain.virsh('resume');
  await domain.waitForTick();
}

/** The disk of a domain that is off becomes a volume of a pool, under another target. */
async function makeVolumeOf(domain: TestDomain, folder: string): Promise<string> {
  const pool = `${domain.name}-pool`;
  await virsh('pool-create-as', pool, 'dir', '--target', folder);
  cleanUpLater({ pool }, async () => {
    await virsh('pool-destroy', pool);
  });
  const source = `<source pool='${pool}' volume='foreign.qcow2'/><target dev='vdz' bus='virtio'/>`;
  const driver = `<driver name='qemu' type='qcow2'/>`;
  const file = join(sandbox.dir, 'volume.xml');
  await writeFile(file, `<disk type='volume' device='disk'>${driver}${source}</disk>`);
  await domain.virsh('detach-disk', 'vda', '--config');
  await domain.virsh('attach-device', file, '--config');
  return pool;
}

/** As --volume-snapshots makes its snapshots. */
async function giveToImage(domain: TestDomain, snapshot: string, imageId: string): Promise<void> {
  const xml = await domain.virsh('snapshot-dumpxml', snapshot, '--security-info');
  const mark = `<description>virt-publish image ${imageId}</description>`;
  const file = join(sandbox.dir, 'snapshot.xml');
  await writeFile(file, xml.replace('</name>', `</name>${mark}`));
  await domain.virsh('snapshot-create', file, '--redefine');
}

test('`chain` shows four layers, commits, pulls and pivots them, and rejects layers in use', async () => {
  sandbox = await makeSandbox();
  const { dir, disk, paths } = await makeChain();
  const [top = '', second = '', middle = '', base = ''] = paths;
  const domain = await createDomainOn(dir, [disk]);
  const stored = await domain.inactiveXml();
  expect(await layersOf(domain)).toEqual(paths);

  const shown = await chain('show', domain.name);
  expect(shown.reported.chain?.layers.map(({ path }) => path)).toEqual(paths);
  const text = (await runCli(['chain', 'show', domain.name], { sandbox })).stdout;
  expect(text).toMatch(/^LAYER +FORMAT +VIRTUAL +ALLOCATED/m);
  expect(text).toMatch(new RegExp(`^ {4}└─${base} +raw +`, 'm'));

  const committed = await shorten(
    'commit',
    domain.name,
    '--top',
    second,
    '--base',
    middle,
    '--delete',
  );
  expect(committed.unused).toEqual([{ path: second, removed: true, reason: null }]);
  expect(existsSync(second)).toBe(false);
  expect(await layersOf(domain)).toEqual([top, middle, base]);
  await domain.waitForTick();
  expect(await domain.inactiveXml()).toBe(stored);

  const stray = join(dir, 'stray.qcow2');
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'raw', stray]);
  await expectFailure(24, /disk\.raw is used by the overlay .*stray\.qcow2/, 'commit', domain.name);
  await rm(stray);

  const { dir: otherDir } = await makeChain(1);
  const foreign = join(otherDir, 'foreign.qcow2');
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', middle, '-F', 'qcow2', foreign]);
  const foreignDisk = { ...disk, path: foreign };
  const other = await createDomainOn(otherDir, [foreignDisk], { state: 'off' });
  const held = new RegExp(`middle\\.qcow2 is used by disk vda of domain ${other.name}`);
  await expectFailure(24, held, 'commit', domain.name, '--base', middle);
  await rename(foreign, `${foreign}.moved`);
  const unread = new RegExp(`disk vda of domain ${other.name} reads are unknown \\(ENOENT.* mount`);
  await expectFailure(24, unread, 'commit', domain.name, '--base', middle);
  await rename(`${foreign}.moved`, foreign);
  const pool = await makeVolumeOf(other, otherDir);
  const asVolume = new RegExp(`middle\\.qcow2 is used by disk vdz of domain ${other.name}`);
  await expectFailure(24, asVolume, 'commit', domain.name, '--base', middle);
  await virsh('pool-destroy', pool);
  const stopped = new RegExp(
    `disk vdz of domain ${other.name} reads are unknown \\(volume foreign.* pool-start ${pool}`,
  );
  await expectFailure(24, stopped, 'commit', domain.name, '--base', middle);
  await virsh('pool-create-as', pool, 'dir', '--target', otherDir);

  await domain.virsh('snapshot-create-as', '--name', 'held', '--disk-only');
  const [overlay = ''] = await layersOf(domain);
  await expectFailure(
    24,
    /top\.qcow2 is held by snapshot held/,
    'commit',
    domain.name,
    '--base',
    top,
  );

  const pulled = await shorten('pull', domain.name, '--base', middle, '--delete');
  const reason = `used by snapshot held of domain ${domain.name}`;
  expect(pulled.unused).toEqual([{ path: top, removed: false, reason }]);
  await keepingContent(domain, async () => {
    const { unused } = await shorten('pull', domain.name, '--base', base, '--delete');
    expect(unused).toMatchObject([
      { removed: false, reason: expect.stringContaining('the guest is paused') },
    ]);
    expect(await layersOf(domain)).toEqual([overlay, base]);
  });
  await other.destroy();
  const heldToo = /disk\.raw is held by snapshot held .*virsh snapshot-delete/;
  await expectFailure(24, heldToo, 'commit', domain.name);
  await giveToImage(domain, 'held', '4c1d');
  const ofImage = /disk\.raw is part of image 4c1d .*snapshot held.*virt-publish delete 4c1d/;
  await expectFailure(24, ofImage, 'commit', domain.name);
  await domain.virsh('snapshot-delete', 'held', '--metadata');
  for (const left of [top, middle]) await rm(left);

  await keepingContent(domain, async () => {
    const { unused } = await shorten('commit', domain.name);
    expect(unused).toEqual([{ path: overlay, removed: false, reason: 'not asked for' }]);
    expect(await layersOf(domain)).toEqual([base]);
  });
  expect(await domain.liveXml()).toContain(`<source file='${base}'`);
  expect(await domain.inactiveXml()).toContain(`<source file='${base}'`);
  expect(await domain.info('Persistent')).toBe('yes');
  await expectFailure(23, /has no backing file/, 'pull', domain.name);
  await domain.shutdown();
  const off = await chain('show', domain.name);
  expect(off.reported.chain?.layers.map(({ path }) => path)).toEqual([base]);
  await expectFailure(
    23,
    /it is off; start it first, .*virsh start .* --paused/,
    'commit',
    domain.name,
  );
  expect((await chain('show', 'vp-test-none')).exitCode).toBe(10);
  expect((await virsh('list', '--all', '--name')).includes(other.name)).toBe(false);
});
