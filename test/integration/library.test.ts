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
import { createDomain } from '../support/domains.ts';
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
