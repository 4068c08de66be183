// An image of several disks, on a directory and on a real S3 server: whatever is done with it is done with all of them.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { readdir, stat, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import type { ImageDisk, ImageRecord } from '#built/registry/record/image.js';
import { openRegistry, type Registry, sumLines } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { s3Env } from '../support/s3.ts';
import { flipBit, PLACES, type Place, scratchFolder } from './places.ts';
import { all, publish } from './publish.ts';

const KIB = 1024;
const SIZES = { vda: 40 * KIB, vdb: 70 * KIB };

describe.each(PLACES)('an image of several disks ($name)', ({ name: placeName, make }) => {
  let place: Place;
  let registry: Registry;
  let sandbox: Sandbox;
  beforeAll(async () => {
    place = await make();
    registry = await openRegistry(place.url, place.options);
    await registry.checkAccess();
    sandbox = await makeSandbox();
  });

  async function upload(id: string): Promise<ImageDisk[]> {
    const disks: ImageDisk[] = [];
    for (const [target, size] of Object.entries(SIZES)) {
      const file = join(await scratchFolder(), target);
      await writeFile(file, randomBytes(size));
      const name = `${target}.raw`;
      const { digests } = await registry.uploadData(id, name, await fileSource(file));
      const boot_index = target === 'vda' ? 0 : null;
      const of = { target, boot_index, bus: 'virtio', disk_format: 'raw' as const };
      disks.push({ ...of, name, size, sha256: digests.sha256, virtual_size: size });
    }
    return disks;
  }

  async function publishDisks(name: string): Promise<ImageRecord> {
    const { id } = await registry.queueImage({ name, disk_format: 'raw' });
    await registry.markSaving(id);
    const disks = await upload(id);
    const [root] = disks;
    if (!root) throw new Error('no disk');
    const data = { name: root.name, size: root.size, sha256: root.sha256 };
    const artefacts = [await registry.putArtefact(id, 'domain.xml', '<domain/>')];
    return registry.activateImage(id, { data, disks, artefacts });
  }

  /** A command on this registry. */
  function command(...args: string[]) {
    const env = { ...(placeName === 'S3' ? s3Env() : {}), VIRT_PUBLISH_REGISTRY: place.url };
    return runCli(args, { sandbox, env });
  }

  test('becomes active only if every disk is stored, and has the ETag of each', async () => {
    const { id } = await registry.queueImage({ name: 'incomplete', disk_format: 'raw' });
    await registry.markSaving(id);
    const disks = await upload(id);
    const [root] = disks;
    if (!root) throw new Error('no disk');
    const data = { name: root.name, size: root.size, sha256: root.sha256 };
    await place.store.remove([`images/${id}/vdb.raw`]);
    await expect(registry.activateImage(id, { data, disks })).rejects.toMatchObject({
      ...{ code: 'INTEGRITY', message: expect.stringContaining('vdb.raw') },
    });
    expect(await registry.discardImage(id, 'incomplete')).toMatchObject({ status: 'killed' });
    expect((await place.keys()).filter((key) => /incomplete|vd[ab]/.test(key))).toEqual([]);

    const image = await publishDisks('whole');
    expect(image).toMatchObject({ size: SIZES.vda, data: { name: 'vda.raw' } });
    const etags = image.disks?.map(({ etag }) => typeof etag);
    expect(etags).toEqual(placeName === 'S3' ? ['string', 'string'] : ['undefined', 'undefined']);
    expect(image.disks?.[0]).toMatchObject({ ...image.data, target: 'vda', boot_index: 0 });
    expect(await registry.getImage(image.id)).toEqual(image);
  });

  test('is verified, reactivated, copied and summed with all of its disks', async () => {
    const image = await publishDisks('looked at');
    const { id } = image;
    expect((await registry.verifyImage(id)).problems).toEqual([]);
    const copied = await openRegistry(join(await scratchFolder(), 'copy'));
    await copied.checkAccess();
    expect((await registry.copyImage(id, copied)).image.disks).toHaveLength(2);
    expect((await copied.verifyImage(id)).problems).toEqual([]);

    await flipBit(place, `images/${id}/vdb.raw`, 7);
    expect((await registry.verifyImage(id)).problems).toEqual([
      expect.stringMatching(/^vdb\.raw has the sha256/),
    ]);
    await expect(registry.reactivateImage(id)).rejects.toMatchObject({ code: 'INTEGRITY' });
    await flipBit(place, `images/${id}/vdb.raw`, 7);
    await registry.reactivateImage(id);
    const damaged = await publishDisks('second missing');
    await place.store.remove([`images/${damaged.id}/vdb.raw`]);
    const quick = await registry.verifyImage(damaged.id, { quick: true });
    expect(quick.problems).toEqual(['vdb.raw is missing']);

    const folder = await scratchFolder();
    expect((await command('pull', id, join(folder, id))).exitCode).toBe(2);
    const pulled = await command('pull', id, `${join(folder, id)}/`);
    expect(pulled.exitCode, pulled.stderr).toBe(0);
    await place.copyOut(`images/${id}/domain.xml`, join(folder, id, 'domain.xml'));
    await writeFile(join(folder, 'SHA256SUMS'), `${sumLines(image).join('\n')}\n`);
    const said = execFileSync('sha256sum', ['-c', 'SHA256SUMS'], { cwd: folder, encoding: 'utf8' });
    expect(said.match(/: OK/g)).toHaveLength(3);
  });

  test('is pulled disk by disk, resumed, and one disk by its name', async () => {
    const { id, disks } = await publishDisks('to pull');
    const folder = join(await scratchFolder(), 'of');
    const one = await command('pull', id, `${folder}/`, '--disk', 'vdb');
    expect(one.exitCode, one.stderr).toBe(0);
    expect(await readdir(folder)).toEqual(['vdb.raw']);
    const both = await command('pull', id, folder);
    expect(both.stderr).toContain('vdb.raw exists already, with the right bytes');
    expect((await readdir(folder)).sort()).toEqual(['vda.raw', 'vdb.raw']);
    await writeFile(join(folder, 'vdb.raw'), 'another');
    expect((await command('pull', id, folder)).stderr).toContain(
      'vdb.raw exists already\nhint: name',
    );
    const unnamed = await command('pull', 'to pull', '--json');
    expect(unnamed.events.at(-1)).toMatchObject({ directory: join(sandbox.dir, 'to_pull') });
    const missing = await command('pull', id, join(folder, 'x'), '--disk', 'vdz');
    expect([missing.exitCode, missing.stderr]).toEqual([2, expect.stringContaining('none is vdz')]);

    const shown = (await command('show', id)).stdout;
    for (const { sha256 } of disks ?? []) expect(shown).toContain(sha256);
    expect(shown).toMatch(/vda on virtio, boot index 0, 40 KiB .*\n.*vdb on virtio, 70 KiB/);
    expect((await command('list')).stdout).toMatch(/to pull +active +raw +110 KiB +110 KiB/);
    const url = await command('url', id);
    expect([url.exitCode, url.stderr]).toEqual([2, expect.stringContaining('--disk vda')]);
    if (placeName !== 'S3') return;
    const link = await command('url', id, '--disk', 'vdb');
    expect((await (await fetch(link.stdout.trim())).arrayBuffer()).byteLength).toBe(SIZES.vdb);
  });

  test('keeps all disks in `gc`, is a parent by each, has its own line in `prune`, and is deleted with all disks', async () => {
    const properties = { instance_uuid: 'a-domain' };
    const image = await publishDisks('web');
    const { id } = await registry.changeImage(image.id, { setProperties: properties });
    await publish(registry, { name: 'web', properties });
    await all(registry.collectGarbage({ olderThanMs: -60_000, remove: true }));
    expect((await registry.verifyImage(id)).problems).toEqual([]);
    const found = await registry.findImagesBySize(SIZES.vdb);
    expect(found.map((each) => each.id)).toContain(id);
    const pruned = await registry.pruneImages({ last: 1 }, { name: 'web' });
    expect(pruned.map(({ kept }) => kept)).toEqual([true, true]);
    await registry.deleteImage(id);
    const left = (await place.keys()).filter((key) => key.includes(id));
    expect(left).toEqual([expect.stringContaining('/record/')]);
  });
});

test('`pull` into an existing directory writes the only disk of an image there', async () => {
  const sandbox = await makeSandbox();
  const folder = await scratchFolder();
  await writeFile(join(folder, 'in.raw'), randomBytes(512));
  const made = await runCli(['import', join(folder, 'in.raw'), '--name', 'one'], { sandbox });
  expect(made.exitCode, made.stderr).toBe(0);
  const ran = await runCli(['pull', 'one', folder, '--json'], { sandbox });
  expect(ran.events.at(-1)).toMatchObject({ files: [join(folder, 'disk.raw')] });
  expect((await stat(join(folder, 'disk.raw'))).size).toBe(512);
});
