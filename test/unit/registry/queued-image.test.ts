// What the record of an image says when the work that makes it fails.
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { PublishError } from '#built/core/errors.js';
import { ignoreEvents } from '#built/core/events.js';
import { withQueuedImage } from '#built/registry/queued-image.js';
import { openRegistry } from '#built/registry/registry.js';
import { ID } from './record.ts';

const folder = mkdtempSync(join(tmpdir(), 'queued-'));
afterAll(() => rmSync(folder, { recursive: true }));

const MESSAGE =
  'writing /var/lib/work/vda.delta failed: process 4711 on web01, https://u:pw@host/x';
const FAILURES: readonly (readonly [Error, string])[] = [
  [
    new PublishError('MIRROR', MESSAGE, { step: 'mirror', cause: new Error(MESSAGE) }),
    'MIRROR (mirror): mirror failed, stalled or never converged',
  ],
  [new PublishError('INTERRUPTED', MESSAGE), 'INTERRUPTED: interrupted; everything was undone'],
  [new TypeError(MESSAGE), 'INTERNAL: internal error'],
  [Object.assign(new Error(MESSAGE), { code: 'ENOSPC' }), 'NO_SPACE: no space left'],
];

for (const [index, [error, reason]] of FAILURES.entries())
  it(`a killed image has the reason "${reason}", and no fact of the host`, async () => {
    const registry = await openRegistry(join(folder, 'registry'));
    const id = ID.replace(/.$/, String(index));
    const fields = { id, name: 'x', disk_format: 'raw' } as const;
    const work = () => Promise.reject(error);
    await expect(withQueuedImage(registry, fields, ignoreEvents, work)).rejects.toBe(error);
    const record = await registry.getImage(id);
    expect(record).toMatchObject({ status: 'killed', status_reason: reason });
    expect(JSON.stringify(record)).not.toMatch(/var|4711|web01|pw/);
  });
