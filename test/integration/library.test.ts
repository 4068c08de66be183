// The library: snapshots with signals and events, registries, and PublishErrors for everything.
import { randomBytes } from 'node:crypto';
import { chmod, readdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { buffer } from 'node:stream/consumers';
import {
  type CallOptions,
  type Config,
  commitChain,
  createSnapshot,
  createVolumeSnapshot,
  doctor,
  type ImageRecord,
  type ImageRegistry,
  importImage,
  inspectDomain,
  listRuns,
  loadConfig,
  openRegistry,
  planSnapshot,
  planVolumeSnapshot,
  pullChain,
  type RunEvent,
  recoverRuns,
  showChain,
} from 'virt-publish';
import { beforeAll, describe, expect, test } from 'vitest';
import { makeSandbox } from '../support/cli.ts';
import { createDomain, createDomainOn } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sameContent } from '../support/judges.ts';

test('createSnapshot reports its steps and returns the record', async () => {
  const { dir, env } = await makeSandbox();
  const domain = await createDomain({ state: 'off' });
  const events: RunEvent[] = [];
  const config = await loadConfig({ env });

  const { image } = await createSnapshot(
    { domain: domain.uuid, onEvent: (event) => events.push(event) },
    config,
  );

  expect(image.status).toBe('active');
  const steps = events.flatMap((event) =>
    event.type === 'step' && event.state === 'done' ? [event.step] : [],
  );
  expect(steps).toEqual(['inspect', 'space', 'queue', 'convert', 'check', 'upload', 'activate']);
  const registry = await openRegistry(config.registry);
  const file = join(dir, 'pulled.qcow2');
  await registry.pullImage(image.id, file);
  expect(await sameContent(domain.disk(), { path: file, format: 'qcow2' })).toBe(true);
});

test('an abort in the middle of a live run rejects with INTERRUPTED, and the guest is restored', async () => {
  const { stateDir, env } = await makeSandbox();
  const domain = await createDomain({ shape: 'raw', autostart: true });
  const before = await photograph(domain);
  const controller = new AbortController();
  const reason = new Error('enough');
  const onEvent = (event: RunEvent) => {
    if (event.type === 'progress' && event.step === 'mirror') controller.abort(reason);
  };

  const options = { domain: domain.name, bandwidthMib: 1, signal: controller.signal, onEvent };
  await expect(createSnapshot(options, await loadConfig({ env }))).rejects.toMatchObject({
    ...{ name: 'PublishError', code: 'INTERRUPTED', cause: reason },
  });

  await expectWhole(domain, before);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('an abort while the disk of a saved guest is read starts the guest again', async () => {
  const { stateDir, env } = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2-on-qcow2', autostart: true });
  await domain.agent.writeFile('/run/in-memory', 'alone');
  const before = await photograph(domain);
  const controller = new AbortController();
  const reason = new Error('enough');
  const onEvent = (event: RunEvent) => {
    if (event.type === 'step' && event.step === 'convert') controller.abort(reason);
  };

  const options = {
    domain: domain.name,
    mode: 'cold',
    signal: controller.signal,
    onEvent,
  } as const;
  await expect(createSnapshot(options, await loadConfig({ env }))).rejects.toMatchObject({
    ...{ name: 'PublishError', code: 'INTERRUPTED', cause: reason },
  });

  await expectWhole(domain, before);
  expect(await domain.agent.readFile('/run/in-memory')).toBe('alone');
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('createSnapshot records a backing file that is an image of the registry as base_image_ref', async () => {
  const { dir, env } = await makeSandbox();
  const config = await loadConfig({ env });
  const first = await createDomain({ state: 'off' });
  const { image: base } = await createSnapshot({ domain: first.name }, config);
  const registry = await openRegistry(undefined, {}, config);
  const backing = join(dir, 'base.qcow2');
  await registry.pullImage(base.id, backing);
  const path = join(dir, 'disk.qcow2');
  const flags = ['-q', '-f', 'qcow2', '-b', backing, '-F', 'qcow2', path];
  await must('qemu-img', ['create', ...flags]);
  const release = () => Promise.resolve();
  const disk = { target: 'vda', type: 'file', format: 'qcow2', path, release } as const;
  const chain = [{ path: backing, format: 'qcow2' }] as const;
  const second = await createDomainOn(dir, [{ ...disk, backing: chain }]);

  const { image } = await createSnapshot({ domain: second.name }, config);

  expect(image.properties.base_image_ref).toBe(base.id);
  expect(base.properties.base_image_ref).toBeUndefined();
});

describe('an image in a registry', () => {
  const bytes = randomBytes(20 * 1024 * 1024);
  const now = new Error('enough');
  let dir: string;
  let config: Config;
  let registry: ImageRegistry;
  let image: ImageRecord;

  beforeAll(async () => {
    const sandbox = await makeSandbox();
    dir = sandbox.dir;
    config = await loadConfig({ env: sandbox.env });
    registry = await openRegistry(undefined, {}, config);
    const source = join(dir, 'disk.raw');
    await writeFile(source, bytes);
    const result = await importImage({ source, format: 'raw', aliases: ['web'] }, config);
    image = result.image;
    expect(result.aliases).toEqual([{ alias: 'web', version: 1 }]);
  });

  test('openRegistry opens the registry of the configuration', async () => {
    expect(registry.url).toBe(config.registry);
    expect((await registry.getImage('web')).id).toBe(image.id);
    await expect(openRegistry('ftp://x', {}, config)).rejects.toMatchObject({
      ...{ name: 'PublishError', code: 'USAGE' },
    });
  });

  test('readImage streams the data, and fails at the end if they are not those of the record', async () => {
    const { object, stream } = await registry.readImage('web');
    expect(object).toMatchObject({ name: 'disk.raw', size: bytes.length });
    expect((await buffer(stream)).equals(bytes)).toBe(true);
    const other = await importImage({ source: join(dir, 'disk.raw'), name: 'other' }, config);
    const file = join(config.registry, 'images', other.image.id, 'disk.raw');
    await chmod(file, 0o600);
    await writeFile(file, 'x', { flag: 'r+' });
    const broken = await registry.readImage(other.image.id);
    await expect(buffer(broken.stream)).rejects.toMatchObject({
      ...{ name: 'PublishError', code: 'INTEGRITY' },
    });
    await registry.deleteImage(other.image.id);
  });

  test('doctor returns findings with details and hints', async () => {
    const findings = await doctor({ domains: ['vp-test-no-such-domain'] }, config);
    expect(findings).toContainEqual(
      expect.objectContaining({ name: 'libvirt', state: 'ok', detail: expect.any(String) }),
    );
    expect(findings).toContainEqual({
      ...{ name: 'agent of vp-test-no-such-domain', state: 'failure', code: 'DOMAIN_NOT_FOUND' },
      ...{ detail: expect.any(String), hint: expect.any(String) },
    });
  });

  const domain = 'vp-test-no-such-domain';
  const list = async (items: AsyncIterable<unknown>) => {
    for await (const _ of items);
  };
  const last = { last: 1 };
  const CALLS: Record<string, (options: CallOptions) => Promise<unknown>> = {
    createSnapshot: (o) => createSnapshot({ ...o, domain }, config),
    planSnapshot: (o) => planSnapshot({ ...o, domain }, config),
    createVolumeSnapshot: (o) => createVolumeSnapshot({ ...o, domain }, config),
    planVolumeSnapshot: (o) => planVolumeSnapshot({ ...o, domain }, config),
    importImage: (o) => importImage({ ...o, source: join(dir, 'disk.raw') }, config),
    inspectDomain: (o) => inspectDomain({ ...o, domain }, config),
    showChain: (o) => showChain({ ...o, domain }, config),
    commitChain: (o) => commitChain({ ...o, domain }, config),
    pullChain: (o) => pullChain({ ...o, domain }, config),
    doctor: (o) => doctor(o, config),
    recoverRuns: (o) => recoverRuns(o, config),
    checkAccess: (o) => registry.checkAccess(o),
    getImage: (o) => registry.getImage('web', o),
    listImages: (o) => list(registry.listImages(o)),
    queryImages: (o) => registry.queryImages({}, o),
    pullImage: (o) => registry.pullImage('web', join(dir, 'x'), o),
    readImage: (o) => registry.readImage('web', o),
    presignImage: (o) => registry.presignImage('web', { ...o, expiresSeconds: 60 }),
    changeImage: (o) => registry.changeImage('web', { addTags: ['x'] }, o),
    deactivateImage: (o) => registry.deactivateImage('web', o),
    reactivateImage: (o) => registry.reactivateImage('web', o),
    verifyImage: (o) => registry.verifyImage('web', o),
    deleteImage: (o) => registry.deleteImage('web', { ...o, force: true }),
    copyImage: (o) => registry.copyImage('web', registry, o),
    pruneImages: (o) => registry.pruneImages(last, o),
    collectGarbage: (o) => list(registry.collectGarbage({ ...o, olderThanMs: 0 })),
    setAlias: (o) => registry.setAlias('x', image.id, o),
    removeAlias: (o) => registry.removeAlias('web', o),
    resolveAlias: (o) => registry.resolveAlias('web', o),
    aliasLog: (o) => registry.aliasLog('web', o),
    rollbackAlias: (o) => registry.rollbackAlias('web', o),
    listAliases: (o) => list(registry.listAliases(o)),
  };

  test.each(Object.entries(CALLS))(
    '%s with a signal that has fired rejects with INTERRUPTED and its reason',
    async (_name, work) => {
      await expect(work({ signal: AbortSignal.abort(now) })).rejects.toMatchObject({
        ...{ name: 'PublishError', code: 'INTERRUPTED', cause: now },
      });
      expect((await registry.getImage('web')).status).toBe('active');
    },
  );

  /** Of these the end comes before a signal that fires right after the call, or they look at nothing. */
  test.each(Object.entries(CALLS))(
    '%s with a signal that fires meanwhile rejects with INTERRUPTED, or with its own PublishError, or ends',
    async (name, work) => {
      const controller = new AbortController();
      const working = work({ signal: controller.signal });
      controller.abort(now);
      const error = await working.then(
        () => undefined,
        (failure: unknown) => failure,
      );
      if (name === 'deleteImage' && error === undefined) throw new Error('the image is deleted');
      if (error === undefined) return;
      expect(error).toMatchObject({ name: 'PublishError' });
      if (!domains.includes(name)) expect(error).toMatchObject({ code: 'INTERRUPTED', cause: now });
    },
  );
  /** Whose domain is looked for in libvirt, which cannot be interrupted. */
  const domains = [
    ...['createSnapshot', 'planSnapshot', 'createVolumeSnapshot', 'planVolumeSnapshot'],
    ...['inspectDomain', 'showChain', 'commitChain', 'pullChain'],
  ];

  test('a stream that is interrupted fails with INTERRUPTED', async () => {
    const controller = new AbortController();
    const { stream } = await registry.readImage('web', { signal: controller.signal });
    stream.once('data', () => controller.abort(now));
    await expect(buffer(stream)).rejects.toMatchObject({
      ...{ name: 'PublishError', code: 'INTERRUPTED', cause: now },
    });
  });

  test('listRuns returns the runs of the state directory of the configuration', async () => {
    expect(await listRuns(config)).toEqual([]);
  });
});
