// An image whose data are volume snapshots, on a directory and on a real S3 server: every command has an answer.
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { s3Env } from '../support/s3.ts';
import { PLACES, type Place, scratchFolder } from './places.ts';
import { all } from './publish.ts';

const mapping = JSON.stringify([{ source_type: 'snapshot', snapshot_id: 'gold/web01' }]);

describe.each(PLACES)('an image of volume snapshots ($name)', ({ name: placeName, make }) => {
  let place: Place;
  let registry: Registry;
  let sandbox: Sandbox;
  beforeAll(async () => {
    place = await make();
    registry = await openRegistry(place.url, place.options);
    await registry.checkAccess();
    sandbox = await makeSandbox();
  });

  async function publishVolumes(name: string) {
    const { id } = await registry.queueImage({ name, disk_format: 'raw', virtual_size: 4096 });
    await registry.markSaving(id);
    const artefacts = [await registry.putArtefact(id, 'domain.xml', '<domain/>')];
    const properties = { block_device_mapping: mapping, bdm_v2: 'True' };
    return registry.activateImage(id, { data: null, artefacts, properties });
  }

  /** A command on this registry. */
  function command(...args: string[]) {
    const env = { ...(placeName === 'S3' ? s3Env() : {}), VIRT_PUBLISH_REGISTRY: place.url };
    return runCli(args, { sandbox, env });
  }

  test('is active with size 0; an image without data and volumes is not', async () => {
    const image = await publishVolumes('volumes');
    expect(image).toMatchObject({ status: 'active', size: 0, data: null });
    expect(await registry.getImage(image.id)).toEqual(image);
    const { id } = await registry.queueImage({ name: 'nothing', disk_format: 'raw' });
    await registry.markSaving(id);
    await expect(registry.activateImage(id, { data: null })).rejects.toMatchObject({
      ...{ code: 'USAGE', message: expect.stringContaining('has no data') },
    });
    const properties = { block_device_mapping: 'vda' };
    await expect(registry.activateImage(id, { data: null, properties })).rejects.toMatchObject({
      code: 'USAGE',
    });
  });

  test('makes `pull` and `url` name its volumes; its artefacts can be pulled', async () => {
    const { id } = await publishVolumes('to pull');
    const folder = await scratchFolder();
    for (const file of [join(folder, 'file'), `${join(folder, 'folder')}/`]) {
      const pulled = await command('pull', id, file);
      expect(pulled.exitCode).toBe(40);
      expect(pulled.stderr).toContain('it names volume snapshots in storage pools (gold/web01)');
    }
    expect((await command('url', id)).exitCode).toBe(40);
    const xml = await command('pull', id, join(folder, 'x'), '--artefact', 'domain.xml');
    expect(xml.exitCode, xml.stderr).toBe(0);
  });

  test('works with show, list, verify, sums, copy, deactivate and gc', async () => {
    const image = await publishVolumes('looked at');
    const { id } = image;
    expect((await command('show', id)).stdout).toMatch(/size +0 B \(0 bytes\)/);
    expect((await command('list')).stdout).toMatch(new RegExp(`^${id}.* 0 B `, 'm'));
    expect((await registry.verifyImage(id)).problems).toEqual([]);
    expect((await command('sums', id)).stdout).toMatch(
      new RegExp(`^[0-9a-f]{64}  ${id}/domain.xml`),
    );
    const copied = await openRegistry(join(await scratchFolder(), 'copy'));
    await copied.checkAccess();
    await registry.copyImage(id, copied);
    expect(await copied.getImage(id)).toMatchObject({ size: 0, data: null, status: 'active' });
    await registry.deactivateImage(id);
    await registry.reactivateImage(id);
    expect(await all(registry.collectGarbage({ olderThanMs: 0 }))).not.toContainEqual(
      expect.objectContaining({ imageId: id, kind: 'object' }),
    );
    await place.store.remove([`images/${id}/domain.xml`]);
    expect((await registry.verifyImage(id)).problems).toEqual(['domain.xml is missing']);
    await registry.deleteImage(id);
    expect(
      (await place.keys()).filter((key) => key.includes(id) && !key.includes('record')),
    ).toEqual([]);
  });
});
