// Servers that do not know conditional writes, and credentials that may not delete: images are published, and what happened is said.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { PutBucketPolicyCommand } from '@aws-sdk/client-s3';
import { afterEach, beforeEach, describe, expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { lab } from '../support/lab.ts';
import { listKeys, listUploads, s3Client, s3Env } from '../support/s3.ts';
import { bucketPlace, type Place, scratchFolder } from './places.ts';

const REFUSED = {
  status: 501,
  body: '<?xml version="1.0"?><Error><Code>NotImplemented</Code><Message>A header you provided implies functionality that is not implemented</Message></Error>',
};
const MIB = 1024 ** 2;

let place: Place;
let bucket: string;
let image: string;
let sandbox: Sandbox;
beforeEach(async () => {
  place = await bucketPlace();
  bucket = place.url.split('/')[2] ?? '';
  image = join(await scratchFolder(), 'image.raw');
  await writeFile(image, randomBytes(17 * MIB));
  sandbox = await makeSandbox();
});

const keysLike = async (word: string) =>
  (await listKeys(bucket)).filter((key) => key.includes(word));

describe('a server that answers 501 to conditional writes', () => {
  let proxy: FaultyProxy;
  afterEach(() => proxy.stop());
  const run = (...args: string[]): Promise<CliResult> =>
    runCli([...args, '--registry', place.url, '--endpoint', proxy.endpoint], {
      sandbox,
      env: s3Env(),
    });

  test('is used like one that ignores them, with the same warning', async () => {
    proxy = await startFaultyProxy(lab().s3.endpoint);
    proxy.fault = (_method, _url, headers) => (headers['if-none-match'] ? REFUSED : undefined);
    const imported = await run('import', image, '--name', 'x', '--alias', 'web');
    expect(imported.exitCode, imported.stderr).toBe(0);
    expect(imported.stderr).toMatch(
      /warning: registry: this registry is not safe for many: .*let only one client write/,
    );
    expect((await run('verify', 'web')).exitCode).toBe(0);
    expect((await run('update', 'web', '--name', 'y', '--if-version', '1')).exitCode).toBe(43);
    expect(await keysLike('.probe/')).toEqual([]);
  });

  test('at the end of an upload alone is detected before the data is sent', async () => {
    proxy = await startFaultyProxy(lab().s3.endpoint);
    proxy.fault = (method, _url, headers) =>
      method === 'POST' && headers['if-none-match'] ? REFUSED : undefined;
    const imported = await run('import', image, '--name', 'x');
    expect(imported.exitCode, imported.stderr).toBe(0);
    const refusals = proxy.log.flatMap(({ fault }, index) => (fault === undefined ? [] : [index]));
    const firstPart = proxy.seen.findIndex((line) => /^PUT .*image\.raw|^PUT .*\.raw\?/.test(line));
    expect(refusals).toHaveLength(1);
    expect(refusals[0]).toBeLessThan(firstPart);
  });
});

describe('credentials that may not delete objects', () => {
  const run = (...args: string[]): Promise<CliResult> =>
    runCli([...args, '--registry', place.url], { sandbox, env: s3Env() });
  const deny = (Action: string[]) => {
    const Resource = [`arn:aws:s3:::${bucket}/*`];
    const Statement = [
      {
        Effect: Action.length > 0 ? 'Deny' : 'Allow',
        Principal: '*',
        Action: Action.length > 0 ? Action : ['s3:GetObject'],
        Resource,
      },
    ];
    const Policy = JSON.stringify({ Version: '2012-10-17', Statement });
    return s3Client().send(new PutBucketPolicyCommand({ Bucket: bucket, Policy }));
  };
  beforeEach(() => deny(['s3:DeleteObject', 's3:DeleteObjectVersion']));
  afterEach(() => deny([]));

  test('publish and move aliases, and leave no probe', async () => {
    const imported = await run('import', image, '--name', 'x', '--alias', 'web');
    expect(imported.exitCode, imported.stderr).toBe(0);
    expect(imported.stderr).toContain('not tried: these credentials may not delete');
    expect((await run('update', 'web', '--name', 'y')).exitCode).toBe(0);
    expect((await run('gc')).exitCode).toBe(0);
    expect(await keysLike('.probe/')).toEqual([]);
    expect(await listUploads(bucket)).toEqual([]);
  });

  test('delete an image by its record, and report what remains and how to remove it', async () => {
    const id = (await run('import', image, '--name', 'x')).stdout.trim();
    const refused = await run('delete', id);
    expect(refused.exitCode).toBe(44);
    expect(refused.stderr).toMatch(
      new RegExp(
        `image ${id} is deleted, and objects of it remain: .*denies.*[^]*hint: .*virt-publish delete ${id}.*gc --delete`,
      ),
    );
    expect((await run('list')).stdout).not.toContain(id);
    await deny([]);
    expect((await run('delete', id)).exitCode).toBe(0);
    expect((await listKeys(bucket)).filter((key) => !key.includes('/record/'))).toEqual([]);
  });
});
