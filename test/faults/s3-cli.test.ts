// The command against faults of the server: exit codes, messages, no secret; ten seeded schedules of the hundred.
import { randomBytes } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { afterAll, beforeAll, describe, expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { type Fault, startFaultyProxy } from '../support/faulty-proxy.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { lab } from '../support/lab.ts';
import { expectNoRunLeft } from '../support/publishing.ts';
import { createBucket, s3Env } from '../support/s3.ts';
import { judge, type Outcome } from './s3-outcome.ts';
import {
  EXPIRED,
  INVALID_KEY,
  kindOf,
  LIES,
  makeSchedule,
  type RequestKind,
  SLOW_DOWN,
} from './s3-schedule.ts';

const MIB = 1024 ** 2;
const RETRIES = 2;
const LIMIT_MS = 2500;
const TOKEN = 'planted-session-token-0123456789';

/** A domain that is off, with a home of its own: of those, some runs go at once. */
interface Bench {
  domain: TestDomain;
  sandbox: Sandbox;
  before: Awaited<ReturnType<typeof photograph>>;
}

let bucket: string;
const free: Bench[] = [];
const waiting: ((bench: Bench) => void)[] = [];
beforeAll(async () => {
  bucket = await createBucket();
  for (let made = 0; made < 3; made += 1) free.push(await makeBench());
});

async function makeBench(): Promise<Bench> {
  const dir = await makeFolder('vp-test');
  const path = join(dir, 'disk.raw');
  // Random, so that the image is as large as the disk: three parts of five MiB.
  await writeFile(path, randomBytes(12 * MIB));
  const release = () => Promise.resolve();
  const disk = { target: 'vda', type: 'file', path, format: 'raw', backing: [], release } as const;
  const domain = await createDomainOn(dir, [disk], { agent: false, state: 'off' });
  return { domain, sandbox: await makeSandbox(), before: await photograph(domain) };
}

async function withBench<T>(work: (bench: Bench) => Promise<T>): Promise<T> {
  const bench = free.pop() ?? (await new Promise<Bench>((resolve) => waiting.push(resolve)));
  try {
    return await work(bench);
  } finally {
    const next = waiting.shift();
    if (next === undefined) free.push(bench);
    else next(bench);
  }
}

const table: string[] = [];
afterAll(() => {
  process.stdout.write(`${table.join('\n')}\n`);
});

interface Ended extends CliResult {
  outcome: Outcome;
  /** How many requests of a kind the proxy saw. */
  count(kind: RequestKind, within?: string): number;
}

/** Runs one `snapshot` through a proxy; however it ends, the guest is intact and no secret was printed. */
function publish(fault: Faults, args: readonly string[] = []): Promise<Ended> {
  return withBench((bench) => publishOn(bench, fault, args));
}

type Faults = (method: string, url: string) => Fault | undefined;

async function publishOn(
  { domain, sandbox, before }: Bench,
  fault: Faults,
  args: readonly string[],
): Promise<Ended> {
  const proxy = await startFaultyProxy(lab().s3.endpoint);
  proxy.fault = fault;
  const env = {
    ...s3Env(),
    AWS_ENDPOINT_URL_S3: proxy.endpoint,
    VIRT_PUBLISH_UPLOAD_PART_SIZE_MIB: '5',
    VIRT_PUBLISH_UPLOAD_RETRIES: String(RETRIES),
    VIRT_PUBLISH_UPLOAD_RETRY_MIN_MS: '5',
    VIRT_PUBLISH_UPLOAD_RETRY_MAX_MS: '50',
    VIRT_PUBLISH_TIMEOUTS_REQUEST_MS: String(LIMIT_MS),
    VIRT_PUBLISH_TIMEOUTS_PART_MS: String(LIMIT_MS),
  };
  const flags = ['--registry', `s3://${bucket}`, '--json', ...args];
  const ran = await runCli(['snapshot', domain.name, ...flags], { sandbox, env });
  await proxy.stop();
  const { log } = proxy;
  const id = String(ran.events.find(({ type }) => type === 'run')?.runId);
  expect(id, ran.stderr).toMatch(/^[0-9a-f-]{36}$/);
  const { record, ...outcome } = await judge({ bucket, id, data: 'vda.qcow2', log });
  expectNoSecret(ran.stdout + ran.stderr + JSON.stringify(record ?? {}));
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);
  // Not those of the probes, which the faults meet as well.
  const count = (kind: RequestKind, within = '') =>
    log
      .filter(({ url }) => url.includes(within) && !url.includes('/.probe/'))
      .filter(({ method, url }) => kindOf(method, url) === kind).length;
  return { ...ran, outcome, count };
}

function expectNoSecret(text: string): void {
  for (const secret of [lab().s3.secretAccessKey, TOKEN]) {
    expect(text).not.toContain(secret);
  }
}

const always =
  (fault: Fault, kind: RequestKind, within = '') =>
  (method: string, url: string) =>
    kindOf(method, url) === kind && url.includes(within) ? fault : undefined;

/** From the first request that fits on, everything. */
function fromOn(fault: Fault, kind: RequestKind, within = '') {
  let met = false;
  return (method: string, url: string) => {
    met ||= kindOf(method, url) === kind && url.includes(within);
    return met ? fault : undefined;
  };
}

function once(fault: Fault, kind: RequestKind) {
  let left = 1;
  return (method: string, url: string) =>
    kindOf(method, url) === kind && left-- > 0 ? fault : undefined;
}

const SAID = `Credential=${TOKEN}, Signature=${TOKEN} X-Amz-Security-Token: ${TOKEN}`;
const TALKATIVE = (fault: { status: number; body: string }) => ({
  status: fault.status,
  body: fault.body.replace('planted', SAID),
});

describe.concurrent('exit codes', () => {
  test.each([
    [
      'a part that always fails',
      41,
      always(SLOW_DOWN, 'part', 'partNumber=2'),
      /part 2 of .*SlowDown/,
    ],
    [
      'a part that arrives as other bytes',
      42,
      always({ etag: `"${'0'.repeat(32)}"` }, 'part'),
      /other bytes/,
    ],
    [
      'a token that expires in the middle',
      44,
      fromOn(TALKATIVE(EXPIRED), 'part', 'partNumber=2'),
      /credentials \(ExpiredToken\)/,
    ],
    [
      'a key that is withdrawn in the middle',
      44,
      fromOn(TALKATIVE(INVALID_KEY), 'complete'),
      /credentials \(InvalidAccessKeyId\)/,
    ],
    ['a server that rests from the start', 44, fromOn(SLOW_DOWN, 'list'), /SlowDown/],
    ['a server that stops answering', 44, always('stall', 'head'), /no answer within 2.5 s/],
  ] as const)('%s: %i', async (what, exit, fault, message) => {
    const { exitCode, events, stderr, outcome, count } = await publish(fault);
    const error = events.at(-1);
    expect(error, stderr).toMatchObject({ type: 'error', exitCode: exit });
    expect(exitCode).toBe(exit);
    expect(String(error?.message)).toMatch(message);
    expect(outcome.status).not.toBe('active');
    for (const number of [1, 2, 3]) {
      expect(count('part', `partNumber=${number}&`)).toBeLessThanOrEqual(1 + RETRIES);
    }
    table.push(`exit ${exit}  ${what}: ${String(error?.message).slice(0, 160)}`);
  });

  test('`snapshot` exits with 43 if another client moved the alias, and the image is active', async () => {
    const taken = { status: 412, body: '<Error><Code>PreconditionFailed</Code></Error>' };
    const fault = always(taken, 'put', 'aliases/');
    const { exitCode, events, outcome } = await publish(fault, ['--alias', 'web/latest']);
    expect(exitCode).toBe(43);
    expect(events.at(-1)).toMatchObject({ code: 'PRECONDITION_LOST', step: 'alias' });
    expect(outcome.status).toBe('active');
  });

  test('expired credentials are one error on standard error, and are not retried', async () => {
    const proxy = await startFaultyProxy(lab().s3.endpoint);
    proxy.fault = () => EXPIRED;
    const env = { ...s3Env(), AWS_ENDPOINT_URL_S3: proxy.endpoint };
    const ran = await runCli(['list', '--registry', `s3://${bucket}`], { env });
    await proxy.stop();
    expect(ran.exitCode).toBe(44);
    expect(ran.stdout).toBe('');
    expect(ran.stderr.match(/^virt-publish: /gm)).toHaveLength(1);
    expect(ran.stderr).toContain('check the credentials');
    expect(proxy.log).toHaveLength(1);
  });

  test.each([
    ["the completion's answer is lost", once('lose', 'complete')],
    ['the completion took effect and lies', once({ ...LIES, after: true }, 'complete')],
    ['the completion says 200 and means an error', once(LIES, 'complete')],
    ['a record arrives, and its answer is lost', once('lose', 'put')],
    ['a part stalls', once('stall', 'part')],
  ] as const)('%s: 0', async (_what, fault) => {
    const { exitCode, stdout, outcome } = await publish(fault);
    expect(exitCode, stdout).toBe(0);
    expect(outcome).toEqual({ status: 'active', leftUploads: 0, leftObject: false });
  });
});

const ONE = process.env.VIRT_PUBLISH_TEST_SEED;
const SEEDS = ONE === undefined ? Array.from({ length: 10 }, (_, at) => at + 91) : [Number(ONE)];

test.concurrent.each(SEEDS)('seed %i', async (seed) => {
  const { percent, fault } = makeSchedule(seed);
  const { exitCode, events, stderr, outcome } = await publish(fault, ['--alias', `seeds/${seed}`]);
  const last = events.at(-1);
  expect([0, 41, 42, 43, 44], stderr).toContain(exitCode);
  if (exitCode === 0) expect(outcome.status).toBe('active');
  else expect(last).toMatchObject({ type: 'error', exitCode });
  const message = exitCode === 0 ? '' : String(last?.message).slice(0, 150);
  const left = outcome.leftUploads > 0 ? ' (open upload)' : '';
  table.push(`seed ${seed} ${percent}%  exit ${exitCode}  ${outcome.status}${left}  ${message}`);
});
