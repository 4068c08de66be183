// The lab itself: domains of every shape start, agents answer, S3 stores objects.
import { statfs, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { GetObjectCommand, PutObjectCommand } from '@aws-sdk/client-s3';
import { describe, expect, test } from 'vitest';
import { bootImage } from '../support/boot.ts';
import { createDomain, virsh } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import {
  fsckExt4,
  imageCheck,
  imageInfo,
  readFileFromImage,
  replayedCopy,
  sameContent,
  sha256Of,
} from '../support/judges.ts';
import { lab } from '../support/lab.ts';
import {
  createBucket,
  listKeys,
  listUploads,
  rclone,
  removeBucket,
  s3Client,
} from '../support/s3.ts';
import { startS3Server } from '../support/s3-server.ts';
import { lastTick } from '../support/ticks.ts';

describe('domains', () => {
  // Every other shape boots and counts where it is published.
  test.each(['relative-backing'] as const)(
    '%s: boots, counts, is frozen and thawed, switched off, removed',
    async (shape) => {
      const domain = await createDomain({ shape, autostart: true });
      const disk = domain.disk();

      expect(await domain.state()).toBe('running');
      expect(await domain.info('Persistent')).toBe('yes');
      expect(await domain.info('Autostart')).toBe('enable');
      expect(await domain.blockJob()).toBeNull();
      await domain.waitForTick();

      const beforeFreeze = await domain.ticks();
      await domain.virsh('domfsfreeze');
      expect(await domain.agent.frozen()).toBe(true);
      await domain.virsh('domfsthaw');
      expect(await domain.agent.frozen()).toBe(false);
      await domain.waitForTick();

      await domain.agent.writeFile('/data/marker', 'written by the test\n');
      await domain.shutdown();
      const raw = await replayedCopy(disk.path, disk.format);
      expect(await fsckExt4(raw)).toMatchObject({ exitCode: 0 });
      expect(await readFileFromImage(raw, '/data/marker')).toBe('written by the test\n');
      expect(lastTick(await readFileFromImage(raw, '/data/ticks'))).toBeGreaterThan(beforeFreeze);
      await expect(readFileFromImage(raw, '/data/nothing')).rejects.toThrow('File not found');

      await domain.destroy();
      expect(await virsh('list', '--all', '--name')).not.toContain(domain.name);
      expect(await must('losetup', ['--list'])).not.toContain(domain.dir);
      await expect(statfs(domain.dir)).rejects.toThrow('ENOENT');
    },
  );

  test('backing chains have the layers of their shape', async () => {
    const chain = await createDomain({ shape: 'chain3', state: 'off' });
    const below = chain.disk().backing.map((layer) => layer.path);
    const info = await imageInfo(chain.diskPath(), 'qcow2');
    expect(info['backing-filename']).toBe(below[0]);
    expect((await imageInfo(below[0] ?? '', 'qcow2'))['backing-filename']).toBe(below[1]);

    const relative = await createDomain({ shape: 'relative-backing', state: 'off', sizeMib: 96 });
    const top = await imageInfo(relative.diskPath(), 'qcow2');
    expect(top['backing-filename']).toBe('base/base.qcow2');
    expect(top['virtual-size']).toBe(96 * 2 ** 20);
    expect(await imageCheck(relative.diskPath(), 'qcow2')).toMatchObject({ exitCode: 0 });
  });

  test('a paused domain with all devices keeps its secrets in the stored XML', async () => {
    const domain = await createDomain({
      shape: 'raw',
      state: 'paused',
      secondDisk: { format: 'qcow2' },
      vncPassword: 'hush1234',
      mac: '52:54:00:12:34:56',
      title: 'a < b & c',
      metadata: "<t:x xmlns:t='urn:test'>kept</t:x>",
    });
    expect(await domain.state()).toBe('paused');
    const xml = await domain.inactiveXml();
    for (const part of ['hush1234', '52:54:00:12:34:56', 'a &lt; b &amp; c', 'kept', 'vdb']) {
      expect(xml).toContain(part);
    }
    const reads = ['-r', '-U', '-f', 'qcow2', '-c', 'read -P 0xa5 0 1M', domain.diskPath('vdb')];
    expect(await must('qemu-io', reads)).not.toContain('verification failed');
    await domain.virsh('resume');
    await domain.waitForTick();
    expect((await domain.agent.exec('/bin/test', '-b', '/dev/vdb')).exitCode).toBe(0);
  });

  test('domains have missing agents, and one that hangs', async () => {
    const none = await createDomain({ agent: false });
    expect((await none.tryVirsh('domfsfreeze')).stderr).toContain('not configured');
    const absent = await createDomain({ agent: 'absent', transient: true });
    expect(await absent.info('Persistent')).toBe('no');
    expect((await absent.tryVirsh('domfsfreeze')).stderr).toContain('not connected');
    const hung = await createDomain();
    await hung.agent.hang();
    await expect(hung.agent.call('guest-ping', {}, 1)).rejects.toThrow(
      /not available|not responding/,
    );
    expect(await hung.state()).toBe('running');
  });

  test('a domain is saved, started, and its clock is set', async () => {
    const domain = await createDomain();
    const before = await domain.ticks();
    await domain.virsh('managedsave');
    expect(await domain.state()).toBe('shut off');
    await domain.virsh('start');
    await domain.virsh('domtime', '--sync');
    await domain.waitForTick();
    expect(await domain.ticks()).toBeGreaterThan(before);
  });

  test('an image boots from a copy and continues to count', async () => {
    const source = await createDomain({ shape: 'qcow2' });
    await source.waitForTick();
    await source.shutdown();
    const path = source.diskPath();
    const image = join(await makeFolder('vp-test-image'), 'image.vmdk');
    await must('qemu-img', ['convert', '-f', 'qcow2', '-O', 'vmdk', path, image]);
    expect(await sameContent({ path, format: 'qcow2' }, { path: image, format: 'vmdk' })).toBe(
      true,
    );
    const digest = await sha256Of(image);

    const booted = await bootImage(image, 'vmdk');
    await booted.waitForTick();
    expect(await booted.state()).toBe('running');
    expect(await sha256Of(image)).toBe(digest);
  });
});

describe('S3', () => {
  test('rclone reads the stored objects, and a bucket is removed with its content', async () => {
    const bucket = await createBucket();
    const body = 'some bytes\n'.repeat(1000);
    await s3Client().send(new PutObjectCommand({ Bucket: bucket, Key: 'a/b.txt', Body: body }));
    expect(await rclone('cat', `lab:${bucket}/a/b.txt`)).toBe(body);

    const file = join(await makeFolder('vp-test-file'), 'c.txt');
    await writeFile(file, body);
    await rclone('copyto', file, `lab:${bucket}/a/c.txt`);
    expect(await listKeys(bucket)).toEqual(['a/b.txt', 'a/c.txt']);
    expect(await listUploads(bucket)).toEqual([]);

    await removeBucket(bucket);
    expect(await rclone('lsd', 'lab:')).not.toContain(bucket);
  });

  test('concurrent servers choose different free ports', async () => {
    const servers = await Promise.all([startS3Server(), startS3Server()]);
    const all = [lab().s3, ...servers.map(({ access }) => access)];
    const ports = all.flatMap(({ endpoint, tlsEndpoint, tinyPartsEndpoint }) =>
      [endpoint, tlsEndpoint, tinyPartsEndpoint].map((url) => new URL(url).port),
    );
    expect(new Set(ports).size).toBe(9);
    for (const { access } of servers) {
      const bucket = await createBucket(access);
      expect(await listKeys(bucket, '', access)).toEqual([]);
      await removeBucket(bucket);
    }
    await Promise.all(servers.map((server) => server.stop()));
  });

  test('a private server keeps its objects if its gateway is killed', async () => {
    const server = await startS3Server();
    const bucket = await createBucket(server.access);
    const client = s3Client(server.access);
    await client.send(new PutObjectCommand({ Bucket: bucket, Key: 'k', Body: 'kept' }));
    await server.killGateway();
    await server.startGateway();
    const got = await client.send(new GetObjectCommand({ Bucket: bucket, Key: 'k' }));
    expect(await got.Body?.transformToString()).toBe('kept');
    await removeBucket(bucket);
    await server.stop();
  });
});
