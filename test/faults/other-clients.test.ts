// Another client acts on the domain at each point of a run's journal: no image is wrong, and its act stays.
import { readFile, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { makeDataDisk, makeRootDisk, type TestDisk } from '../support/disks.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { sameContent } from '../support/judges.ts';
import { expectNoRunLeft } from '../support/publishing.ts';
import { waitFor } from '../support/wait.ts';
import { imagesIn } from './whole.ts';

/** A running guest whose `vdb` it does not write to: an overlay, and a base below it, each with bytes of its own. */
interface Scene {
  domain: TestDomain;
  sandbox: Sandbox;
  dir: string;
  /** The stored XML, with `vdb` on `top`. */
  definition: string;
  top: string;
  base: string;
  /** What the guest sees on `vdb`, in one raw file. */
  truth: string;
}

const MARK = 'another client was here';

/** The acts of another client while the run is stopped; false if libvirt rejected the act. */
type Act = (scene: Scene) => Promise<boolean>;

const ACTS: Readonly<Record<string, Act>> = {
  snapshot: ({ domain, dir }) =>
    virsh(
      domain,
      'snapshot-create-as',
      '--disk-only',
      '--no-metadata',
      '--diskspec',
      'vda,snapshot=no',
      '--diskspec',
      `vdb,file=${dir}/foreign.qcow2`,
    ),
  commit: ({ domain }) => virsh(domain, 'blockcommit', 'vdb', '--active', '--pivot', '--wait'),
  pivot: ({ domain }) => virsh(domain, 'blockjob', 'vdb', '--pivot'),
  define: async ({ dir, definition }) => {
    const file = join(dir, 'foreign.xml');
    await must('sh', ['-c', 'cat > "$0"', file], { input: withMark(definition) });
    await must('virsh', ['-q', 'define', file]);
    return true;
  },
  undefine: ({ domain }) => virsh(domain, 'undefine'),
  autostart: ({ domain }) => virsh(domain, 'autostart'),
  destroy: ({ domain }) => virsh(domain, 'destroy'),
  suspend: ({ domain }) => virsh(domain, 'suspend'),
  reset: ({ domain }) => virsh(domain, 'reset'),
  start: ({ domain }) => virsh(domain, 'start'),
};

function withMark(definition: string): string {
  return definition.replace('</uuid>', `</uuid>\n  <description>${MARK}</description>`);
}

async function virsh(domain: TestDomain, command: string, ...args: string[]): Promise<boolean> {
  return (await domain.tryVirsh(command, ...args)).exitCode === 0;
}

interface Row {
  point: string;
  act: string;
  /** Whether libvirt accepted the act of the other client. */
  accepted: boolean;
  exitCode: number | null;
  image: string;
  result: string;
}

const LIVE = [
  'snapshot',
  'commit',
  'pivot',
  'define',
  'undefine',
  'autostart',
  'destroy',
  'suspend',
  'reset',
];
const COLD = [
  'snapshot',
  'commit',
  'define',
  'undefine',
  'autostart',
  'destroy',
  'suspend',
  'reset',
  'start',
];

const FREEZE = ['suspend', 'reset', 'destroy', 'snapshot'];

/** One point for each state of the guest; `scripts/soak.sh` tests all points of a run. */
const POINTS: Readonly<Record<string, readonly string[]>> = {
  live: ['intent:undefine', 'done:undefine', 'done:mirror', 'done:pause'],
  cold: ['intent:save', 'done:save'],
};
const EVERY_POINT = process.env.VIRT_PUBLISH_TEST_EVERY_POINT === '1';

// NOTE: two disks and no agent, so the guest is paused for the point in time. What runs in it does not
// matter, so it has no system, which would have to boot after each reset.
test.concurrent.each([
  ['live', LIVE],
  ['cold', COLD],
])(
  '%s: an act of another client at any point stays, and no image is wrong',
  async (mode, acts) => {
    const scene = await makeScene();
    const args = ['snapshot', scene.domain.name, '--all-disks', '--mode', mode, '--json'];
    const all = await listPoints(args, scene);
    expect(all).toEqual(expect.arrayContaining([...(POINTS[mode] ?? [])]));
    const points = EVERY_POINT ? all : (POINTS[mode] ?? []);
    const rows = points.flatMap((point) => acts.map((act) => ({ point, act })));
    const table = await disturbAll(scene, args, rows);
    // libvirt accepted each act at least once.
    for (const act of acts)
      expect(
        table.some((row) => row.act === act && row.accepted),
        act,
      ).toBe(true);
  },
  900_000,
);

test('no guest stays frozen, whatever another client does around its freeze', async () => {
  const scene = await makeScene({ system: true });
  const args = ['snapshot', scene.domain.name, '--disk', 'vdb', '--json'];
  const points = ['intent:freeze', 'done:freeze', 'undone:freeze'];
  const rows = points.flatMap((point) => FREEZE.map((act) => ({ point, act })));
  await disturbAll(scene, args, rows);
}, 900_000);

async function disturbAll(
  scene: Scene,
  args: readonly string[],
  rows: readonly Pick<Row, 'point' | 'act'>[],
): Promise<Row[]> {
  const table: Row[] = [];
  for (const row of rows) {
    const done = await disturb(scene, args, row);
    print(args.includes('cold') ? 'cold' : 'live', done);
    table.push(done);
  }
  expect(table.filter(({ result }) => result !== 'ok')).toEqual([]);
  return table;
}

async function makeScene({ system = false } = {}): Promise<Scene> {
  const dir = await makeFolder('vp-test');
  const data = await makeDataDisk(dir, 'qcow2');
  const base = data.path;
  const top = join(dir, 'top.qcow2');
  const truth = join(dir, 'truth.raw');
  await makeTop({ top, base });
  await must('qemu-img', ['convert', '-f', 'qcow2', '-O', 'raw', top, truth]);
  const vdb: TestDisk = { ...data, path: top, backing: [{ path: base, format: 'qcow2' }] };
  const vda = system ? await makeRootDisk(dir, 'qcow2') : await makeIdleDisk(dir);
  const options = system ? {} : { agent: false, state: 'off' as const, memoryMib: 32 };
  const domain = await createDomainOn(dir, [vda, vdb], options);
  if (!system) await startWithoutSystem(domain, dir);
  const definition = await domain.inactiveXml();
  const sandbox = await makeSandbox();
  return { domain, sandbox, dir, definition, top, base, truth };
}

/** Its boot sector halts the processor: a BIOS without a boot sector retries for ever. */
async function makeIdleDisk(dir: string): Promise<TestDisk> {
  const raw = join(dir, 'idle.raw');
  const path = join(dir, 'idle.qcow2');
  const sectors = Buffer.alloc(2 ** 20);
  Buffer.from('faf4ebfd', 'hex').copy(sectors);
  Buffer.from('55aa', 'hex').copy(sectors, 510);
  await writeFile(raw, sectors);
  await must('qemu-img', ['convert', '-f', 'raw', '-O', 'qcow2', raw, path]);
  const release = () => Promise.resolve();
  return { target: 'vda', type: 'file', path, format: 'qcow2', backing: [], release };
}

async function startWithoutSystem(domain: TestDomain, dir: string): Promise<void> {
  const xml = await domain.inactiveXml();
  const file = join(dir, 'without-system.xml');
  await writeFile(file, xml.replaceAll(/<(kernel|initrd|cmdline)>.*<\/\1>/g, ''), { mode: 0o600 });
  await must('virsh', ['-q', 'define', file]);
  await domain.virsh('start');
}

async function makeTop({ top, base }: Pick<Scene, 'top' | 'base'>): Promise<void> {
  await rm(top, { force: true });
  await must('qemu-img', ['create', '-q', '-f', 'qcow2', '-F', 'qcow2', '-b', base, top]);
  await must('qemu-io', ['-f', 'qcow2', '-c', 'write -P 0x5a 4M 1M', top]);
}

/** The points of an undisturbed run, in order. */
async function listPoints(args: readonly string[], { sandbox }: Scene): Promise<string[]> {
  const ran = await runCli(args, { sandbox, env: { VIRT_PUBLISH_TEST_AT: 'list' } });
  expect(ran.exitCode, ran.stderr).toBe(0);
  const points = [...ran.stderr.matchAll(/^test hook: (.*)$/gm)].map(([, name = '']) => name);
  return [...new Set(points)];
}

async function disturb(
  scene: Scene,
  args: readonly string[],
  { point, act }: Pick<Row, 'point' | 'act'>,
): Promise<Row> {
  const row: Row = { point, act, accepted: false, exitCode: null, image: 'none', result: 'ok' };
  const { sandbox } = scene;
  try {
    const known = new Set((await imagesIn(sandbox)).map(({ id }) => id));
    const env = { VIRT_PUBLISH_TEST_AT: `${point}=SIGSTOP` };
    const { child, done } = await startCli(args, { sandbox, env });
    await waitFor(`the run to stop at ${point}`, () => isStopped(child.pid));
    row.accepted = (await ACTS[act]?.(scene)) ?? false;
    child.kill('SIGCONT');
    const ran = await done;
    row.exitCode = ran.exitCode;
    const image = (await imagesIn(sandbox)).find(({ id }) => !known.has(id));
    row.image = image?.status ?? 'none';
    await expectGuest(scene, row);
    if (row.exitCode === 0) await expectImage(scene, image?.id ?? '');
    else await expectClearError(scene, row, ran.events.at(-1) ?? {});
    if (act === 'suspend' && scene.domain.hasAgent) await thawLater(scene);
    await expectNoRunLeft(sandbox);
  } catch (error) {
    row.result = error instanceof Error ? error.message.slice(0, 400) : String(error);
  }
  await tidy(scene);
  return row;
}

/** A guest that was paused during its freeze is thawed when it runs again, after the end of its run. */
async function thawLater({ domain, sandbox }: Scene): Promise<void> {
  await domain.virsh('resume');
  await waitFor('the thaw', async () => !(await domain.agent.frozen()), { timeoutMs: 15_000 });
  const ran = await runCli(['recover'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
}

async function isStopped(pid: number | undefined): Promise<boolean> {
  const status = await readFile(`/proc/${pid}/status`, 'utf8').catch(() => 'State:\tX');
  if (/^State:\s+[XZ]/m.test(status)) throw new Error('the run ended before the point');
  return /^State:\s+T/m.test(status);
}

/** Expects a restored guest, except for the act of the other client. */
async function expectGuest(
  { domain, definition }: Scene,
  { point, act, accepted }: Row,
): Promise<void> {
  const has = (other: string) => accepted && act === other;
  // libvirt does not report that a paused guest was suspended again.
  const staysPaused = has('suspend') && point !== 'done:pause';
  expect(await domain.state()).toBe(
    has('destroy') ? 'shut off' : staysPaused ? 'paused' : 'running',
  );
  expect(await domain.info('Persistent')).toBe(has('undefine') ? 'no' : 'yes');
  const autostart = has('autostart') ? 'enable' : 'disable';
  if (!has('undefine')) expect(await domain.info('Autostart')).toBe(autostart);
  const stored = await domain.inactiveXml();
  const expected = has('define') ? withMark(definition) : definition;
  expect(withoutData(stored)).toBe(withoutData(expected));
  if (!has('destroy')) expect(await domain.blockJob('vdb')).toBeNull();
  await expectNextStart(domain);
  if (!domain.hasAgent || has('destroy') || has('suspend')) return;
  if (has('reset')) await domain.agent.wait();
  expect(await domain.agent.frozen()).toBe(false);
}

/** Returns the XML without the files of `vdb`, which another client may have changed. */
function withoutData(xml: string): string {
  const { disks, ...rest } = splitDisks(xml);
  return JSON.stringify({ rest, disks: disks.filter((disk) => !disk.includes("dev='vdb'")) });
}

function splitDisks(xml: string): { disks: string[]; text: string } {
  const disks = xml.match(/<disk [\s\S]*?<\/disk>/g) ?? [];
  return { disks, text: xml.replaceAll(/<disk [\s\S]*?<\/disk>\s*/g, '') };
}

/** Expects that the next start uses the present data: the same file, or an overlay on it. */
async function expectNextStart(domain: TestDomain): Promise<void> {
  const live = await sourceOf(domain);
  const stored = await sourceOf(domain, '--inactive');
  if (live === stored) return;
  const chain = await must('qemu-img', ['info', '-U', '--backing-chain', '-f', 'qcow2', stored]);
  expect(chain, `stored ${stored}, live ${live}`).toContain(`image: ${live}`);
}

async function sourceOf(domain: TestDomain, ...flags: string[]): Promise<string> {
  const list = await domain.virsh('domblklist', ...flags);
  return /^\s*vdb\s+(.*)$/m.exec(list)?.[1]?.trim() ?? '';
}

async function expectImage({ sandbox, truth }: Scene, id: string): Promise<void> {
  const path = join(sandbox.stateDir, 'registry/images', id, 'vdb.qcow2');
  const image = { path, format: 'qcow2' };
  expect(await sameContent(image, { path: truth, format: 'raw' })).toBe(true);
}

/** Exit 50 occurs only for a pivoted mirror, and its recovery command works. */
async function expectClearError(
  { sandbox }: Scene,
  row: Row,
  error: Record<string, unknown>,
): Promise<void> {
  expect(row.image, String(error.message)).not.toBe('active');
  if (row.exitCode !== 50) return expect([11, 12, 20, 21, 22, 30, 42]).toContain(row.exitCode);
  expect(row.act, String(error.message)).toBe('pivot');
  const recoveryCommand = error.recoveryCommand as string[];
  await must('sh', ['-c', recoveryCommand.at(-1) ?? 'false']);
  const ran = await runCli(['recover'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
}

/** Restores the scene to the start of a row. */
async function tidy(scene: Scene): Promise<void> {
  const { domain, dir, definition, top } = scene;
  const file = join(dir, 'definition.xml');
  await must('sh', ['-c', 'cat > "$0"', file], { input: definition });
  if ((await domain.state().catch(() => 'missing')) === 'paused') await domain.virsh('resume');
  if ((await domain.state().catch(() => 'missing')) === 'running') {
    const source = await sourceOf(domain);
    if (source !== top && source !== scene.base)
      await domain.virsh('blockcommit', 'vdb', '--active', '--pivot', '--wait', '--base', top);
    if (source === scene.base) await onNewTop(scene);
  }
  await must('virsh', ['-q', 'define', file]);
  await domain.virsh('autostart', '--disable');
  if ((await domain.state()) === 'shut off') {
    await makeTop(scene);
    await domain.tryVirsh('managedsave-remove');
    await domain.virsh('start');
    if (domain.hasAgent) await domain.agent.wait();
  }
  await rm(join(dir, 'foreign.qcow2'), { force: true });
}

/** After a commit into the base: makes an overlay on it again, in the file that the XML names. */
async function onNewTop({ domain, top }: Scene): Promise<void> {
  await rm(top, { force: true });
  const spec = `vdb,file=${top}`;
  await domain.virsh(
    'snapshot-create-as',
    '--disk-only',
    '--no-metadata',
    '--diskspec',
    'vda,snapshot=no',
    '--diskspec',
    spec,
  );
}

function print(mode: string, { point, act, accepted, exitCode, image, result }: Row): void {
  const words = [
    mode,
    point.padEnd(18),
    act.padEnd(9),
    (accepted ? 'accepted' : 'rejected').padEnd(8),
    `exit ${exitCode}`.padEnd(7),
    image.padEnd(7),
    result,
  ];
  process.stdout.write(`${words.join('  ')}\n`);
}
