// `copy` to another S3 server, with credentials and an authority of its own; `aws s3` reads what came there.
import { execFileSync, spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli } from '../support/cli.ts';
import { lab } from '../support/lab.ts';
import { awsS3, createBucket, listKeys } from '../support/s3.ts';

// Ubuntu 24.04 has no package of it; scripts/setup.sh says so there.
const hasAws = spawnSync('aws', ['--version']).status === 0;

test.skipIf(!hasAws)(
  '`copy` with --to-* copies an image from a directory to a bucket that aws reads',
  async () => {
    const sandbox = await makeSandbox();
    const { tlsEndpoint, caFile, accessKeyId, secretAccessKey, region } = lab().s3;
    const keys = `aws_access_key_id=${accessKeyId}\naws_secret_access_key=${secretAccessKey}\n`;
    const credentials = join(sandbox.dir, 'credentials');
    await writeFile(credentials, `[other]\n${keys}`);
    const env = { AWS_SHARED_CREDENTIALS_FILE: credentials, AWS_CONFIG_FILE: '/dev/null' };
    const image = join(sandbox.dir, 'image.raw');
    await writeFile(image, randomBytes(20_000_000));
    const made = await runCli(['import', image, '--name', 'web'], { sandbox, env });
    expect(made.exitCode, made.stderr).toBe(0);
    const id = made.stdout.trim();

    const bucket = await createBucket();
    const to = ['copy', 'web', '--to', `s3://${bucket}/mirror`];
    const server = ['--to-endpoint', tlsEndpoint, '--to-ca-file', caFile, '--to-region', region];
    const anonymous = await runCli([...to, ...server], { sandbox, env });
    expect(anonymous.exitCode).toBe(44);
    const args = [...to, ...server, '--to-profile', 'other', '--alias', 'web/latest', '--json'];
    const ran = await runCli(args, { sandbox, env });
    expect(ran.exitCode, ran.stderr).toBe(0);
    expect(ran.events.at(-1)).toMatchObject({ way: 'streamed', alias: 'web/latest' });
    for (const secret of [accessKeyId, secretAccessKey])
      expect(ran.stdout + ran.stderr).not.toContain(secret);

    const key = `mirror/images/${id}/disk.raw`;
    expect(await listKeys(bucket)).toContain(key);
    const read = join(sandbox.dir, 'read');
    await awsS3('cp', '--only-show-errors', `s3://${bucket}/${key}`, read);
    execFileSync('cmp', [image, read]);
  },
);
