// Pull as a user runs it: killed and run again, converted on the way out, named by itself.
import { randomBytes } from 'node:crypto';
import { existsSync, truncateSync, writeFileSync } from 'node:fs';
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { must } from '../support/exec.ts';
import { type FaultyProxy, startFaultyProxy } from '../support/faulty-proxy.ts';
import { imageCheck, sameContent } from '../support/judges.ts';
import { lab } from '../support/lab.ts';
import { createBucket, s3Env } from '../support/s3.ts';
import { waitFor } from '../support/wait.ts';

const MIB = 1024 * 1024;
const PART_MIB = 8;

let sandbox: Sandbox;
let proxy: FaultyProxy;
let original = '';
let id = '';
let env: Record<string, string> = {};

beforeAll(async () => {
  sandbox = await makeSandbox();
  original = join(sandbox.dir, 'original.raw');
  writeFileSync(original, randomBytes(100 * MIB));
  truncateSync(original, 160 * MIB);
  const bucket = await createBucket();
  proxy = await startFaultyProxy(lab().s3.endpoint);
  env = {
    ...s3Env(),
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    VIRT_PUBLISH_REGISTRY: `s3://${bucket}/golden`,
    VIRT_PUBLISH_UPLOAD_PART_SIZE_MIB: String(PART_MIB),
    VIRT_PUBLISH_UPLOAD_CONCURRENCY: '5',
  };
  const ran = await runCli(['import', original, '--name', 'my web/1'], { sandbox, env });
  expect(ran.exitCode, ran.stderr).toBe(0);
  id = ran.stdout.trim();
  // Its parts were looked at too.
  proxy.seen.length = 0;
});
afterAll(() => proxy.stop());

const gets = () => proxy.seen.filter((line) => /^GET .*disk\.raw/.test(line)).length;

describe('pull', () => {
  it('killed in the middle is resumed by the next process, which fetches only the rest', async () => {
    const file = join(sandbox.dir, 'killed.raw');
    // What is asked for after the first seven ranges gets no answer: the kill comes in between.
    proxy.fault = (method, url) =>
      method === 'GET' && url.includes('disk.raw') && gets() >= 7 ? 'stall' : undefined;
    const { child, done } = await startCli(['pull', id, file], { sandbox, env });
    const noted = async () =>
      (await readFile(`${file}.partial.ranges`, 'utf8').catch(() => ''))
        .split('\n')
        .filter((line) => /^\d+$/.test(line)).length;
    await waitFor('seven ranges', async () => (await noted()) === 7);
    child.kill('SIGKILL');
    expect((await done).exitCode).toBeNull();
    expect(existsSync(file)).toBe(false);
    proxy.fault = () => undefined;
    proxy.seen.length = 0;
    const ran = await runCli(['pull', id, file], { sandbox, env });
    expect(ran.exitCode, ran.stderr).toBe(0);
    expect(ran.stderr).toContain('resuming: 56 MiB were fetched before');
    expect(gets()).toBe(160 / PART_MIB - 7);
    await must('cmp', [original, file]);
    const left = (await readdir(sandbox.dir)).filter((name) => name.startsWith('killed.raw'));
    expect(left).toEqual(['killed.raw']);
  });

  it.each(['qcow2', 'vmdk', 'vdi', 'vhdx'])(
    '--format %s converts on the way out',
    async (format) => {
      const file = join(sandbox.dir, `converted.${format}`);
      const ran = await runCli(['pull', id, file, '--format', format], { sandbox, env });
      expect(ran.exitCode, ran.stderr).toBe(0);
      expect(await sameContent({ path: original, format: 'raw' }, { path: file, format })).toBe(
        true,
      );
      expect((await imageCheck(file, format)).exitCode).toBe(0);
      const left = (await readdir(sandbox.dir)).filter((name) => name.startsWith('converted'));
      expect(left).toContain(`converted.${format}`);
      expect(
        left.filter(
          (name) => /source|partial|converted\./.test(name) && !/converted\.\w+$/.test(name),
        ),
      ).toEqual([]);
      const again = await runCli(['pull', id, file, '--format', format], { sandbox, env });
      expect(again.exitCode).toBe(2);
    },
  );

  it('without a file uses the name of the image, without its path', async () => {
    const ran = await runCli(['pull', id, '--format', 'qcow2'], { sandbox, env });
    expect(ran.exitCode, ran.stderr).toBe(0);
    expect(ran.stdout.trim()).toBe(join(sandbox.dir, 'my_web_1.qcow2'));
    const second = await runCli(['pull', id], { sandbox, env });
    expect(second.stdout.trim()).toBe(join(sandbox.dir, 'my_web_1.raw'));
    await must('cmp', [original, join(sandbox.dir, 'my_web_1.raw')]);
  });

  it('makes no request if the reserve would be taken', async () => {
    const small = join(sandbox.dir, 'small.qcow2');
    await must('qemu-img', ['create', '-q', '-f', 'qcow2', small, '1M']);
    const made = await runCli(['import', small, '--name', 'small'], { sandbox, env });
    expect(made.exitCode, made.stderr).toBe(0);
    proxy.seen.length = 0;
    const full = { ...env, VIRT_PUBLISH_RESERVE_FRACTION: '1' };
    for (const [image, expected] of [
      ['small', 'too little free space: 192 KiB in'],
      [id, 'is almost full'],
    ] as const) {
      const ran = await runCli(['pull', image, 'full.img'], { sandbox, env: full });
      expect(ran.exitCode).toBe(31);
      expect(ran.stderr).toContain(expected);
      expect(ran.stderr).toContain('name a file on a larger file system');
    }
    expect(proxy.seen.filter((line) => /disk\./.test(line))).toEqual([]);
    expect((await readdir(sandbox.dir)).filter((name) => name.startsWith('full'))).toEqual([]);
  });

  it('exits 130 after Ctrl-C, and keeps what was fetched', async () => {
    const file = join(sandbox.dir, 'stopped.raw');
    proxy.seen.length = 0;
    proxy.fault = (method, url) =>
      method === 'GET' && url.includes('disk.raw') && gets() >= 4 ? 'stall' : undefined;
    const { child, done } = await startCli(['pull', id, file], { sandbox, env });
    await waitFor('the stall', async () => gets() > 5);
    child.kill('SIGINT');
    const { exitCode, stderr } = await done;
    expect(exitCode).toBe(130);
    expect(stderr).toContain('is kept');
    proxy.fault = () => undefined;
    expect((await runCli(['pull', id, file], { sandbox, env })).exitCode).toBe(0);
    await must('cmp', [original, file]);
  });
});
