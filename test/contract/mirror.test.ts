// A registry that another tool copied, from bucket to bucket and through a directory: all of it is used as before.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { runCli } from '../support/cli.ts';
import { createBucket, rclone, s3Env } from '../support/s3.ts';
import { bucketPlace, scratchFolder } from './places.ts';
import { publish } from './publish.ts';

const MIB = 1024 ** 2;
/** More than a part here, and other parts than rclone's. */
const SIZE = 21 * MIB;

test('a mirror made by rclone lists, verifies and pulls, and `verify --quick` takes no other ETag for damage', async () => {
  const place = await bucketPlace();
  const registry = await openRegistry(place.url, place.options);
  const { id } = await publish(registry, { name: 'mirrored' }, { size: SIZE });
  await registry.setAlias('web/latest', id);
  const folder = await scratchFolder();
  const directory = join(folder, 'mirror');
  const bucket = await createBucket();
  const parts = ['--s3-chunk-size', '5M', '--s3-upload-cutoff', '5M'];
  await rclone('copy', `lab:${place.url.slice('s3://'.length)}`, directory);
  await rclone('copy', ...parts, directory, `lab:${bucket}/mirror`);

  for (const url of [`s3://${bucket}/mirror`, directory]) {
    const run = (...args: string[]) => runCli([...args, '--registry', url], { env: s3Env() });
    const file = join(folder, url.startsWith('s3:') ? 'from-bucket' : 'from-directory');
    const pulled = await run('pull', 'web/latest', file);
    expect(pulled.exitCode, pulled.stderr).toBe(0);
    const quick = await run('verify', '--all', '--quick', '--json');
    expect(quick.exitCode).toBe(0);
    const isBucket = url.startsWith('s3:');
    expect(quick.events.at(-1)).toMatchObject({
      images: [{ id, status: 'active', result: isBucket ? 'unknown' : 'ok', problems: [] }],
    });
    const full = await run('verify', '--all', '--json');
    expect(full.events.at(-1)).toMatchObject({ images: [{ result: 'ok', doubts: [] }] });
    const listed = await run('list', '--json');
    expect(listed.events.at(-1)).toMatchObject({ images: [{ id, status: 'active' }] });
  }
});
