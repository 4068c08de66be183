// Links: they work without credentials, end, and are refused where they were changed or cannot be made.
import { createHash, randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, describe, expect, test } from 'vitest';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { runCli } from '../support/cli.ts';
import { s3Env } from '../support/s3.ts';
import { PLACES, type Place, scratchFolder } from './places.ts';

async function publish(registry: Registry): Promise<{ id: string; sha256: string }> {
  const file = join(await scratchFolder(), 'data');
  await writeFile(file, randomBytes(100_000));
  const { id } = await registry.queueImage({ name: 'a name / with "all"', disk_format: 'raw' });
  await registry.markSaving(id);
  const { digests, size } = await registry.uploadData(id, 'disk.raw', await fileSource(file));
  const { sha256 } = digests;
  await registry.activateImage(id, { data: { name: 'disk.raw', size, sha256 } });
  return { id, sha256 };
}

async function placeOf(name: string): Promise<Place> {
  const found = PLACES.find((each) => each.name === name);
  if (found === undefined) throw new Error(`no place ${name}`);
  return found.make();
}

describe('S3', () => {
  let place: Place;
  let registry: Registry;
  let published: { id: string; sha256: string };

  beforeAll(async () => {
    place = await placeOf('S3');
    registry = await openRegistry(place.url, place.options);
    published = await publish(registry);
  });

  test('a link reads the data without credentials', async () => {
    const { url } = await registry.presignImage(published.id, { expiresSeconds: 60 });
    const answer = await fetch(url);
    expect(answer.status).toBe(200);
    const bytes = Buffer.from(await answer.arrayBuffer());
    expect(createHash('sha256').update(bytes).digest('hex')).toBe(published.sha256);
    expect(answer.headers.get('content-disposition')).toBe(
      'attachment; filename="a_name_with_all_.raw"',
    );
    expect(url).not.toContain(s3Env().AWS_SECRET_ACCESS_KEY);
  });

  test('a link that was changed or has expired is refused', async () => {
    const { url } = await registry.presignImage(published.id, { expiresSeconds: 1 });
    const longer = url.replace('X-Amz-Expires=1', 'X-Amz-Expires=9999');
    expect((await fetch(longer)).status).toBe(403);
    const started = Date.now();
    while ((await fetch(url)).ok && Date.now() - started < 10_000) {
      await new Promise((resolve) => setTimeout(resolve, 200));
    }
    expect((await fetch(url)).status).toBe(403);
  });

  test('`url` prints the link and nothing else', async () => {
    const env = s3Env();
    const args = ['url', published.id, '--expires', '2m', '--registry', place.url];
    const ran = await runCli(args, { env });
    expect({ exitCode: ran.exitCode, stderr: ran.stderr }).toEqual({ exitCode: 0, stderr: '' });
    expect(ran.stdout).toMatch(/^http:\/\/\S+X-Amz-Expires=120\S+\n$/);
    expect((await fetch(ran.stdout.trim())).status).toBe(200);
    const bad = await runCli(['url', published.id, '--expires', '8d', '--registry', place.url], {
      env,
    });
    expect(bad.exitCode).toBe(2);
    expect(bad.stderr).toContain('7 days');
    const odd = await runCli(['url', published.id, '--expires', 'soon', '--registry', place.url], {
      env,
    });
    expect(odd.exitCode).toBe(2);
  });
});

test('`url` of a directory registry is an error', async () => {
  const place = await placeOf('directory');
  const registry = await openRegistry(place.url);
  const { id } = await publish(registry);
  await expect(registry.presignImage(id, { expiresSeconds: 60 })).rejects.toMatchObject({
    ...{ code: 'USAGE', message: expect.stringContaining('only a bucket has links') },
  });
  const { id: queued } = await registry.queueImage({ name: 'queued', disk_format: 'raw' });
  await expect(registry.presignImage(queued, { expiresSeconds: 60 })).rejects.toMatchObject({
    code: 'IMAGE_STATUS',
  });
});
