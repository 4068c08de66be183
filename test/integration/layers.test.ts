// An image has the layers that libvirt gives to QEMU, whatever headers and names say, judged by qemu-img.
import { existsSync } from 'node:fs';
import { rename, symlink } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import type { TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { sameContent } from '../support/judges.ts';
import {
  backingXml,
  createStill,
  diskOf,
  type LayerFile,
  makeCircle,
  makeNoise,
  makeOverlay,
  makeSliced,
  truthOf,
} from '../support/layers.ts';
import { expectNoRunLeft, failToPublish, publish } from '../support/publishing.ts';

/** Three disks on the same headers (`mid` on `old`), each with other layers in its XML. */
async function makeDisks(dir: string) {
  const at = (name: string) => join(dir, name);
  const old = await makeNoise(at('old.raw'));
  const other = await makeNoise(at('other.raw'));
  const mid = await makeOverlay(at('mid.qcow2'), old, '1M');
  const chains = { vda: [], vdb: [mid], vdc: [mid, other] };
  const disks = [];
  const truths: Record<string, LayerFile> = {};
  for (const [target, layers] of Object.entries(chains)) {
    const top = await makeOverlay(at(`${target}.qcow2`), mid, '2M');
    disks.push(diskOf(target, top, backingXml(layers)));
    truths[target] = await truthOf(at(`${target}.truth`), [top, ...layers]);
  }
  return { disks, truths, old, other, mid };
}

async function expectTruth(
  id: string,
  truths: Readonly<Record<string, LayerFile>>,
  sandbox: Sandbox,
): Promise<void> {
  const folder = join(sandbox.dir, id);
  const pulled = await runCli(['pull', id, `${folder}/`], { sandbox });
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  for (const [target, truth] of Object.entries(truths)) {
    const image = { path: join(folder, `${target}.qcow2`), format: 'qcow2' };
    expect(await sameContent(image, truth), target).toBe(true);
  }
}

async function layersShown(domain: TestDomain, target: string, sandbox: Sandbox) {
  const ran = await runCli(['chain', 'show', domain.name, '--disk', target, '--json'], { sandbox });
  const { chain } = ran.events.at(-1) as { chain: { layers: { path: string }[] } };
  return chain.layers.map(({ path }) => path);
}

test('images, `chain show` and `chain pull` use all layers of the XML, in every mode', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const { disks, truths, old, other, mid } = await makeDisks(dir);
  const domain = await createStill(dir, disks, 'running');
  const all = [domain.name, '--all-disks'];
  for (const args of [
    ['--mode', 'live'],
    ['--method', 'copy'],
    ['--mode', 'cold'],
  ]) {
    await expectTruth((await publish([...all, ...args], { sandbox })).id, truths, sandbox);
  }
  const top = (target: string) => domain.diskPath(target);
  expect(await layersShown(domain, 'vda', sandbox)).toEqual([top('vda')]);
  expect(await layersShown(domain, 'vdb', sandbox)).toEqual([top('vdb'), mid.path]);

  await domain.virsh('snapshot-create-as', '--name', 'frozen', '--disk-only');
  const from = [...all, '--from-snapshot', 'frozen'];
  await expectTruth((await publish(from, { sandbox })).id, truths, sandbox);
  await domain.virsh('destroy');
  await expectTruth((await publish(all, { sandbox })).id, truths, sandbox);

  await domain.virsh('snapshot-delete', 'frozen', '--metadata');
  await domain.virsh('start', '--paused');
  await domain.virsh('resume');
  const pull = ['chain', 'pull', domain.name, '--disk', 'vdc', '--delete', '--json'];
  const { unused } = (await runCli(pull, { sandbox })).events.at(-1) as {
    unused: { path: string; removed: boolean }[];
  };
  expect(unused.map(({ path, removed }) => [path, removed])).toEqual([
    [top('vdc'), true],
    [mid.path, false],
    [other.path, true],
  ]);
  expect(existsSync(old.path)).toBe(true);
  await expectNoRunLeft(sandbox);
});

test('every mode rejects a replaced layer before it touches the domain', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const base = await makeNoise(join(dir, 'base.raw'));
  const mid = await makeOverlay(join(dir, 'mid.qcow2'), base, '1M');
  const disk = diskOf('vda', await makeOverlay(join(dir, 'top.qcow2'), mid, '2M'), '');
  const other = await makeNoise(join(dir, 'other.raw'));
  const domain = await createStill(dir, [disk, diskOf('vdb', other, '')], 'running');
  const uuidOfRun = await domain.virsh('domid');
  await makeNoise(join(dir, 'new.raw'));
  await rename(base.path, join(dir, 'kept.raw'));
  await rename(join(dir, 'new.raw'), base.path);
  const ways = [['--mode', 'live'], ['--method', 'copy'], ['--mode', 'cold'], ['--dry-run']];
  for (const args of ways) {
    const error = await failToPublish([domain.name, ...args], { sandbox });
    expect(error).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
    expect(error.message).toContain(base.path);
  }
  const inspected = await runCli(['inspect', domain.name], { sandbox });
  expect(inspected.stdout).toContain(`has ${base.path} in libvirt`);
  expect((await runCli(['chain', 'pull', domain.name], { sandbox })).exitCode).toBe(23);
  expect(await domain.virsh('domid')).toBe(uuidOfRun);
  expect(await domain.info('Persistent')).toBe('yes');

  // Another name of the same file is no replacement.
  await rename(join(dir, 'kept.raw'), base.path);
  const truth = await truthOf(join(dir, 'truth.raw'), [disk, mid, base] as LayerFile[]);
  const { id } = await publish([domain.name], { sandbox });
  await expectTruthOfOne(id, truth, sandbox);

  // A guest that is saved comes back on all of its disks.
  await makeNoise(join(dir, 'new.raw'));
  await rename(join(dir, 'new.raw'), other.path);
  const cold = [domain.name, '--disk', 'vda', '--mode', 'cold'];
  const error = await failToPublish(cold, { sandbox });
  expect(error).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
  expect(error.message).toContain(
    `${other.path} of disk vdb is not the file that its QEMU has open`,
  );
  expect(await domain.virsh('domid')).toBe(uuidOfRun);
});

async function expectTruthOfOne(id: string, truth: LayerFile, sandbox: Sandbox): Promise<void> {
  const file = join(sandbox.dir, 'one.qcow2');
  const pulled = await runCli(['pull', id, file], { sandbox });
  expect(pulled.exitCode, pulled.stderr).toBe(0);
  expect(await sameContent({ path: file, format: 'qcow2' }, truth)).toBe(true);
}

test('every mode rejects a slice of a file and names the disk', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const big = await makeNoise(join(dir, 'big.raw'));
  const slice = "<slices><slice type='storage' offset='1048576' size='2097152'/></slices>";
  const xml = `<driver name='qemu' type='raw'/><source file='${big.path}'>${slice}</source>`;
  const disk = { ...diskOf('vda', big, ''), foreignSource: { type: 'file', xml } as const };
  const domain = await createStill(dir, [disk], 'running');
  const refused = async (...args: string[]) => {
    const error = await failToPublish([domain.name, ...args], { sandbox });
    expect(error).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
    expect(error.message).toContain('disk vda of domain');
    expect(error.message).toContain('is a slice');
  };
  await refused('--mode', 'live');
  await refused('--mode', 'cold');
  await refused('--dry-run');
  expect((await runCli(['chain', 'show', domain.name], { sandbox })).exitCode).toBe(12);
  await domain.virsh('destroy');
  await refused();
  await refused('--all-disks');
});

test('`snapshot` rejects a layer that is no file, and a circle of layers, and names the disk', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const fifo = join(dir, 'fifo');
  await must('mkfifo', ['-m', '666', fifo]);
  const base = await makeNoise(join(dir, 'base.raw'));
  const link = join(dir, 'link.raw');
  await symlink(base.path, link);
  const below = (layer: LayerFile) => backingXml([layer]);
  const top = await makeOverlay(join(dir, 'top.qcow2'), base, '1M');
  const circle = await makeCircle(join(dir, 'circle.qcow2'));
  const disks = [
    diskOf('vda', top, below({ path: fifo, format: 'raw' })),
    diskOf('vdb', top, below({ path: dir, format: 'raw' })),
    diskOf('vdc', top, below({ path: '/dev/zero', format: 'raw' })),
    diskOf('vdd', circle, ''),
    diskOf('vde', top, backingXml([circle, top])),
    diskOf('vdf', base, below({ path: link, format: 'raw' })),
    diskOf('vdg', await makeSliced(join(dir, 'sliced.qcow2'), base), ''),
  ];
  const domain = await createStill(dir, disks, 'off');
  const reasons: Record<string, string> = {
    vda: `${fifo} as a layer, which is neither`,
    vdb: `${dir} as a layer, which is neither`,
    vdc: '/dev/zero as a layer, which is neither',
    vdd: `has ${circle.path} below itself`,
    vde: `has ${top.path} below itself`,
    vdf: 'whose format has none',
    vdg: 'that is a slice of a file',
  };
  for (const [target, reason] of Object.entries(reasons)) {
    const error = await failToPublish([domain.name, '--disk', target], { sandbox });
    expect(error).toMatchObject({ exitCode: 12, code: 'DISK_UNSUPPORTED' });
    expect(error.message).toContain(reason);
  }
});

test('a relative backing file is resolved like in the kernel, also below a linked folder', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  for (const folder of ['deep', 'deep/real', 'bases', 'deep/bases']) {
    await must('mkdir', ['-m', '711', join(dir, folder)]);
  }
  await symlink(join(dir, 'deep/real'), join(dir, 'disks'));
  const right = await makeNoise(join(dir, 'deep/bases/base.raw'));
  await makeNoise(join(dir, 'bases/base.raw'));
  const top = join(dir, 'disks/top.qcow2');
  const backing = ['-b', '../bases/base.raw', '-F', 'raw'];
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', ...backing, top]);
  const layers: LayerFile[] = [{ path: top, format: 'qcow2' }, right];
  const truth = await truthOf(join(dir, 'truth.raw'), layers);
  const domain = await createStill(dir, [diskOf('vda', { path: top, format: 'qcow2' }, '')], 'off');
  await expectTruthOfOne((await publish([domain.name], { sandbox })).id, truth, sandbox);
});

test('`snapshot` takes the system disk behind read-only and seed disks, and reports the choice', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const plain = join(dir, 'plain.img');
  await must('mke2fs', ['-q', '-t', 'ext2', plain, '512k']);
  const raw = join(dir, 'seed.raw');
  await must('mke2fs', ['-q', '-t', 'ext2', '-L', 'cidata', raw, '512k']);
  const seed = join(dir, 'seed.qcow2');
  await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, seed]);
  const system = await makeNoise(join(dir, 'system.raw'));
  const disks = [
    diskOf('vda', { path: plain, format: 'raw' }, '<readonly/>'),
    diskOf('vdb', { path: raw, format: 'raw' }, ''),
    diskOf('vdc', { path: seed, format: 'qcow2' }, ''),
    diskOf('vdd', system, ''),
  ];
  const domain = await createStill(dir, disks, 'off');
  const seedWords = 'is a cloud-init seed (label cidata)';
  const reason = `vdd is taken for the root disk: vda is read-only, vdb ${seedWords}, vdc ${seedWords}; choose another with --disk`;
  const dry = await runCli(['snapshot', domain.name, '--dry-run', '--json'], { sandbox });
  expect(dry.events.at(-1)).toMatchObject({
    plan: { disk: { target: 'vdd' }, rootReason: reason },
  });
  const inspected = await runCli(['inspect', domain.name], { sandbox });
  expect(inspected.stdout).toContain(reason);
  expect(await layersShown(domain, 'vdd', sandbox)).toEqual([system.path]);
  const named = ['--disk', 'vda', '--disk', 'vdd'];
  const { record, events } = await publish([domain.name, ...named], { sandbox });
  expect(record.disks).toMatchObject([
    { target: 'vdd', boot_index: 0 },
    { target: 'vda', boot_index: null },
  ]);
  expect(events).not.toContainEqual(expect.objectContaining({ message: reason }));
  const alone = await publish([domain.name], { sandbox });
  expect(alone.record.virtual_size).toBe(4 * 1024 * 1024);
  expect(alone.events).toContainEqual(expect.objectContaining({ level: 'info', message: reason }));
});

test('a disk of size 0 becomes an image of size 0 in every mode, alone and with others', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test-layers');
  const path = join(dir, 'empty.qcow2');
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', path, '0']);
  const empty = { path, format: 'qcow2' as const };
  const noise = await makeNoise(join(dir, 'noise.raw'));
  const disks = [diskOf('vda', noise, ''), diskOf('vdb', empty, '')];
  const domain = await createStill(dir, disks, 'running');
  const truths = { vda: noise, vdb: { path: join(dir, 'truth.raw'), format: 'raw' as const } };
  await must('truncate', ['-s', '0', truths.vdb.path]);
  for (const args of [
    ['--mode', 'live'],
    ['--mode', 'cold'],
    ['--compress', 'zstd'],
  ]) {
    const { id, record } = await publish([domain.name, '--all-disks', ...args], { sandbox });
    expect(record.disks).toMatchObject([{}, { target: 'vdb', virtual_size: 0 }]);
    await expectTruth(id, truths, sandbox);
  }
  await domain.virsh('destroy');
  const { id } = await publish([domain.name, '--disk', 'vdb'], { sandbox });
  await expectTruthOfOne(id, truths.vdb, sandbox);
});
