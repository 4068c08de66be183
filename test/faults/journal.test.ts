// The journal becomes unwritable at any entry: the guest is restored, and no image is incomplete.
import { beforeAll, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

const NODE_OPTIONS = `--import ${new URL('./fail-journal.mjs', import.meta.url).pathname}`;
/** The errors of a disk that is full, broken, or mounted read-only after an error. */
const ERRORS = ['ENOSPC', 'EIO', 'EROFS'];

/** `scripts/soak.sh` tests all entries of a run. */
const EVERY_POINT = process.env.VIRT_PUBLISH_TEST_EVERY_POINT === '1';

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  domain = await createDomain({ shape: 'qcow2-on-raw', autostart: true });
  before = await photograph(domain);
  sandbox = await makeSandbox();
});

/** The entries of an undisturbed run, in order; without points that belong to no act. */
async function listPoints(args: readonly string[]): Promise<string[]> {
  const ran = await runCli(args, { sandbox, env: { VIRT_PUBLISH_TEST_AT: 'list' } });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const points = [...ran.stderr.matchAll(/^test hook: (.*)$/gm)].map(([, name = '']) => name);
  return [...new Set(points)].filter((point) => EVERY_POINT || !point.startsWith('point:'));
}

async function breakAt(args: readonly string[], point: string, code: string): Promise<string> {
  const known = new Set((await imagesIn(sandbox)).map(({ id }) => id));
  const env = { NODE_OPTIONS, FAIL_JOURNAL: `${point}=${code}` };
  const ran = await runCli(args, { sandbox, env });
  // At once: no part of the restore waits for the journal.
  await untilWhole(domain, before, 100);
  const recovered = await runCli(['recover'], { sandbox });
  expect(recovered.exitCode, recovered.stderr).toBe(0);
  await expectNothingLeft(sandbox);
  const image = (await imagesIn(sandbox)).find(({ id }) => !known.has(id));
  if (ran.exitCode === 0) expect(image?.status).toBe('active');
  else expect([31, 32], ran.stderr).toContain(ran.exitCode);
  return `${ran.exitCode} ${image?.status ?? 'none'}`;
}

test.each(['live', 'cold'])(
  'a %s run restores the guest if its journal becomes unwritable at any entry',
  async (mode) => {
    const args = ['snapshot', domain.name, '--mode', mode, '--quiet'];
    const table = ['mode  entry               error   exit code and image'];
    for (const [index, point] of (await listPoints(args)).entries()) {
      const code = ERRORS[index % ERRORS.length] ?? 'EIO';
      const ended = await breakAt(args, point, code).catch(
        (error: Error) => `FAULT ${error.message}`,
      );
      table.push(`${mode}  ${point.padEnd(18)}  ${code.padEnd(6)}  ${ended}`);
    }
    process.stdout.write(`${table.join('\n')}\n`);
    expect(table.filter((row) => row.includes('FAULT'))).toEqual([]);
  },
  400_000,
);
