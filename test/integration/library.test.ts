// The library does what the command does: with a signal, and with events.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import {
  createSnapshot,
  loadConfig,
  openRegistry,
  PublishError,
  type RunEvent,
} from 'virt-publish';
import { expect, test } from 'vitest';
import { makeSandbox } from '../support/cli.ts';
import { createDomain, createDomainOn } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sameContent } from '../support/judges.ts';

test('createSnapshot tells its steps and gives the record', async () => {
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

test('an abort in the middle of a live run rejects with its reason, and the guest is whole', async () => {
  const { stateDir, env } = await makeSandbox();
  const domain = await createDomain({ shape: 'raw', autostart: true });
  const before = await photograph(domain);
  const controller = new AbortController();
  const reason = new PublishError('INTERRUPTED', 'enough');
  const onEvent = (event: RunEvent) => {
    if (event.type === 'progress' && event.step === 'mirror') controller.abort(reason);
  };

  const options = { domain: domain.name, bandwidthMib: 1, signal: controller.signal, onEvent };
  await expect(createSnapshot(options, await loadConfig({ env }))).rejects.toBe(reason);

  await expectWhole(domain, before);
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('an abort while the disk of a saved guest is read starts the guest again', async () => {
  const { stateDir, env } = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2-on-qcow2', autostart: true });
  await domain.agent.writeFile('/run/in-memory', 'alone');
  const before = await photograph(domain);
  const controller = new AbortController();
  const reason = new PublishError('INTERRUPTED', 'enough');
  const onEvent = (event: RunEvent) => {
    if (event.type === 'step' && event.step === 'convert') controller.abort(reason);
  };

  const options = {
    domain: domain.name,
    mode: 'cold',
    signal: controller.signal,
    onEvent,
  } as const;
  await expect(createSnapshot(options, await loadConfig({ env }))).rejects.toBe(reason);

  await expectWhole(domain, before);
  expect(await domain.agent.readFile('/run/in-memory')).toBe('alone');
  expect(await readdir(join(stateDir, 'runs'))).toEqual([]);
});

test('a backing file that is an image of the registry is named as the base', async () => {
  const { dir, env } = await makeSandbox();
  const config = await loadConfig({ env });
  const first = await createDomain({ state: 'off' });
  const { image: base } = await createSnapshot({ domain: first.name }, config);
  const registry = await openRegistry(config.registry);
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
