// What commands print with --json is what the schemas that ship say.
import { readFileSync } from 'node:fs';
import { chmod, mkdir, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Ajv } from 'ajv';
import { beforeAll, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { createDirPool } from '../support/pools.ts';
import { createBucket, s3Env } from '../support/s3.ts';

const ajv = new Ajv({ allowUnionTypes: true, strict: false });
const read = (name: string) =>
  JSON.parse(readFileSync(new URL(`../../config/schemas/${name}.json`, import.meta.url), 'utf8'));
for (const name of ['record', 'event', 'result']) ajv.addSchema(read(name), `${name}.json`);
const results = read('result').definitions.commands;
const events = read('event').definitions;

let sandbox: Sandbox;
let domain: TestDomain;
const registry = () => join(sandbox.stateDir, 'registry');

beforeAll(async () => {
  sandbox = await makeSandbox();
  domain = await createDomain({ state: 'off', shape: 'qcow2' });
});

/** Runs a command; each line must be what event.json says, and the last one what result.json says of `name`. */
async function expectValid(
  name: string,
  args: readonly string[] = [],
  { exitCode = 0, env = {} }: { exitCode?: number; env?: Record<string, string> } = {},
): Promise<Record<string, unknown>> {
  const [command = '', ...flags] = name.split(' ');
  const ran = await runCli([command, ...flags, ...args, '--json'], { sandbox, env });
  expect(ran.exitCode, `${name}: ${ran.stderr}${ran.stdout}`).toBe(exitCode);
  expect(ran.events.length).toBeGreaterThan(0);
  for (const event of ran.events) expectSchema('event.json', event);
  const last = ran.events.at(-1) ?? {};
  const pointer = `result.json#/definitions/commands/${encodeURIComponent(name)}`;
  expectSchema(pointer, last);
  const ways = results[name].anyOf ?? [results[name]];
  const known = [events.result, events.error, ...ways].flatMap((each) =>
    Object.keys(each.properties),
  );
  expect(Object.keys(last).filter((key) => !known.includes(key))).toEqual([]);
  return last;
}

function expectSchema(ref: string, value: unknown): void {
  const validate = ajv.getSchema(ref);
  if (validate === undefined) throw new Error(`no schema ${ref}`);
  const isValid = validate(value);
  expect(isValid, `${JSON.stringify(validate.errors)} ${JSON.stringify(value)}`).toBe(true);
}

test('the output of commands on a domain conforms to the schemas', async () => {
  await expectValid('snapshot --dry-run', [domain.name]);
  await expectValid('snapshot', [domain.name, '--alias', 'web', '--verbose', '--hash', 'md5']);
  await expectValid('inspect', [domain.name]);
  await expectValid('chain show', [domain.name]);
  await expectValid('status');
  await expectValid('recover');
  await expectValid('doctor', [domain.name]);
  await expectValid('config show');
});

test('the output of commands on a running domain conforms to the schemas', async () => {
  const running = await createDomain({ shape: 'qcow2-on-qcow2' });
  await expectValid('snapshot', [running.name, '--mode', 'live']);
  await expectValid('inspect', [running.name]);
  await createDirPool(running.dir);
  await expectValid('volume-snapshot --dry-run', [running.name]);
  await expectValid('volume-snapshot', [running.name]);
  await expectValid('chain pull', [running.name]);
  const env = { VIRT_PUBLISH_TEST_AT: 'point:delta=SIGKILL,guard' };
  await runCli(['snapshot', running.name, '--mode', 'live'], { sandbox, env });
  await expectValid('status');
  await expectValid('recover');
});

test('the output of commands on a registry conforms to the schemas', async () => {
  const source = join(sandbox.dir, 'disk.raw');
  await writeFile(source, Buffer.alloc(1024 * 1024, 1));
  const { image } = (await expectValid('import', [
    ...[source, '--format', 'raw', '--alias', 'disk', '--tag', 'x', '--property', 'a=b'],
  ])) as { image: { id: string } };
  await expectValid('list');
  await expectValid('list', ['--tag', 'none']);
  await expectValid('list', ['--limit', '1']);
  await expectValid('show', ['disk']);
  await expectValid('update', ['disk', '--name', 'disk']);
  await expectValid('pull', ['disk', join(sandbox.dir, 'pulled.raw')]);
  await expectValid('pull', ['disk', `${join(sandbox.dir, 'folder')}/`]);
  await expectValid('verify', ['disk']);
  await expectValid('verify', ['disk', '--quick']);
  await expectValid('sums', ['disk']);
  await expectValid('deactivate', ['disk']);
  await expectValid('reactivate', ['disk']);
  await expectValid('alias set', ['other', image.id]);
  await expectValid('alias list');
  await expectValid('alias rm', ['other']);
  await expectValid('alias log', ['other']);
  await expectValid('alias rollback', ['other']);
  await expectValid('copy', ['disk', '--to', join(sandbox.dir, 'second')]);
  await expectValid('prune', ['--keep-last', '1', '--dry-run']);
  await expectValid('gc', ['--older-than', '0s']);
  const damaged = join(registry(), 'images', image.id, 'disk.raw');
  await chmod(damaged, 0o600);
  await writeFile(damaged, 'damaged', { flag: 'r+' });
  await expectValid('verify', ['disk'], { exitCode: 42 });
  await expectValid('delete', [image.id, '--force']);
  await expectValid('prune', ['--keep-last', '1']);
  await mkdir(join(registry(), 'images', image.id), { recursive: true });
  await expectValid('gc', ['--older-than', '0s', '--delete']);
  const bucket = ['--registry', `s3://${await createBucket()}/golden`];
  const env = s3Env();
  await expectValid('import', [source, '--format', 'raw', '--name', 'linked', ...bucket], { env });
  await expectValid('url', ['linked', ...bucket], { env });
});

test('errors conform to event.json', async () => {
  const errors = [
    ['show', 'nosuch'],
    ['snapshot', 'vp-test-nosuch'],
    ['snapshot', 'x', '--mode', 'hot'],
    ['list', '--config', '/nosuch.json'],
  ];
  for (const args of errors) {
    const ran = await runCli([...args, '--json'], { sandbox });
    expect(ran.exitCode).not.toBe(0);
    for (const event of ran.events) expectSchema('event.json', event);
    expect(ran.events.at(-1)).toMatchObject({ type: 'error', hint: expect.stringMatching(/./) });
  }
});

test('stored records conform to record.json', async () => {
  const stored = await must('sh', ['-c', `cat ${registry()}/images/*/record/*.json`]);
  const records = stored.trim().split(/(?<=\})\s*(?=\{)/);
  expect(records.length).toBeGreaterThan(2);
  for (const record of records) expectSchema('record.json', JSON.parse(record));
});
