// A run is killed at each point of its journal: the guard restores the guest at once, `recover` removes the rest.
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { expectNothingLeft, expectUnreadable, imagesIn, untilWhole } from './whole.ts';

/** For a running guest; one in a managed save additionally needs libvirt's time to start it. */
const WHOLE_WITHIN_MS = 2000;
/** `scripts/soak.sh` tests all signals at all points. */
const EVERY_POINT = process.env.VIRT_PUBLISH_TEST_EVERY_POINT === '1';

type Death = 'SIGKILL' | 'SIGKILL,guard' | 'SIGTERM';

interface Row {
  mode: string;
  point: string;
  death: Death;
  restored: string;
  image: string;
  result: string;
}

const table: Row[] = [];

test.concurrent.each([
  ['live', 'qcow2-on-raw'],
  ['cold', 'qcow2'],
] as const)(
  '%s: the guest is restored after SIGKILL, SIGKILL with the guard, and SIGTERM at each point',
  async (mode, shape) => {
    const sandbox = await makeSandbox();
    const domain = await createDomain({ shape, autostart: true, vncPassword: 'Vnc-5ecr' });
    const before = await photograph(domain);
    const args = ['snapshot', domain.name, '--mode', mode, '--quiet'];
    const points = await listPoints(args, sandbox);
    expect(points.length).toBeGreaterThan(8);
    const limitMs = WHOLE_WITHIN_MS + (mode === 'cold' ? await startMs(domain) : 0);
    for (const death of ['SIGKILL', 'SIGKILL,guard', 'SIGTERM'] as const) {
      for (const point of points) {
        // Without an act at a point, the death of the guard and SIGTERM make no difference.
        if (!EVERY_POINT && death !== 'SIGKILL' && point.startsWith('point:')) continue;
        const row = await dieAt({ domain, before, sandbox, args, point, death, limitMs });
        table.push({ ...row, mode });
      }
    }
    await expectNothingLeft(sandbox);
    await domain.waitForTick();
    print(table.filter((row) => row.mode === mode));
    expect(table.filter((row) => row.mode === mode && row.result !== 'ok')).toEqual([]);
  },
  900_000,
);

/** The points of an undisturbed run, in order. */
async function listPoints(args: readonly string[], sandbox: Sandbox): Promise<string[]> {
  const ran = await runCli(args, { sandbox, env: { VIRT_PUBLISH_TEST_AT: 'list' } });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const points = [...ran.stderr.matchAll(/^test hook: (.*)$/gm)].map(([, name = '']) => name);
  return [...new Set(points)];
}

/** Measures how long libvirt needs to start the guest from a managed save. */
async function startMs(domain: TestDomain): Promise<number> {
  await domain.virsh('managedsave');
  const startedAt = performance.now();
  await domain.virsh('start');
  return performance.now() - startedAt;
}

interface Case {
  /** How long the guard may need to restore the guest. */
  limitMs: number;
  domain: TestDomain;
  before: GuestPhoto;
  sandbox: Sandbox;
  args: readonly string[];
  point: string;
  death: Death;
}

async function dieAt(one: Case): Promise<Omit<Row, 'mode'>> {
  const { point, death } = one;
  const row = { point, death, restored: '', image: '', result: 'ok' };
  try {
    const known = new Set((await imagesIn(one.sandbox)).map(({ id }) => id));
    const ran = await runUntilDead(one);
    await expectUnreadable(join(one.sandbox.stateDir, 'runs'));
    if (death === 'SIGKILL,guard') await recover(one.sandbox);
    const limit = death === 'SIGKILL' ? one.limitMs : 100;
    row.restored = `${await untilWhole(one.domain, one.before, limit)} ms`;
    if (death === 'SIGKILL') await recover(one.sandbox);
    const image = (await imagesIn(one.sandbox)).find(({ id }) => !known.has(id));
    row.image = image?.status ?? 'none';
    await expectNothingLeft(one.sandbox);
    if (death === 'SIGTERM') expect(ran.exitCode).toBe(row.image === 'active' ? 0 : 130);
    else expect(ran.exitCode).toBeNull();
    if (point === 'point:active') expect(row.image).toBe('active');
  } catch (error) {
    row.result = error instanceof Error ? error.message.slice(0, 500) : String(error);
  }
  return row;
}

async function runUntilDead({ args, sandbox, point, death }: Case): Promise<CliResult> {
  const env = { VIRT_PUBLISH_TEST_AT: `${point}=${death}` };
  return (await startCli(args, { sandbox, env })).done;
}

async function recover(sandbox: Sandbox): Promise<void> {
  const ran = await runCli(['recover'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
}

function print(rows: readonly Row[]): void {
  const lines = rows.map(({ mode, point, death, restored, image, result }) =>
    [
      mode.padEnd(5),
      point.padEnd(18),
      death.padEnd(14),
      restored.padStart(8),
      image.padEnd(7),
      result,
    ].join('  '),
  );
  const head = 'mode   point               signal          restored  image    result';
  process.stdout.write(`${[head, ...lines].join('\n')}\n`);
}
