// Existing snapshots and checkpoints of a domain are unchanged after every mode.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { expectGoodImage, publish, pull } from '../support/publishing.ts';
import { waitFor } from '../support/wait.ts';

const EXTERNAL = ['one', 'two', 'three'];

/** All that libvirt and the files know of snapshots and checkpoints. */
async function metadataOf(domain: TestDomain, files: readonly string[]): Promise<string[]> {
  const lines = [
    await domain.virsh('snapshot-list', '--tree'),
    await domain.virsh('snapshot-current', '--name'),
    await domain.virsh('checkpoint-list', '--tree'),
  ];
  for (const kind of ['snapshot', 'checkpoint']) {
    const names = (await domain.virsh(`${kind}-list`, '--name')).split('\n').filter(Boolean);
    for (const name of names)
      lines.push(await domain.virsh(`${kind}-dumpxml`, name, '--security-info'));
  }
  for (const file of files) lines.push(await must('qemu-img', ['snapshot', '-U', '-l', file]));
  return lines;
}

test('every mode keeps internal and external snapshots and a checkpoint unchanged', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ shape: 'qcow2', autostart: true, vncPassword: 'Vnc-5ecr' });
  await domain.agent.writeFile('/data/marker', 'snapshots');
  await domain.virsh('snapshot-create-as', 'internal');
  for (const name of EXTERNAL) await domain.virsh('snapshot-create-as', name, '--disk-only');
  await domain.virsh('checkpoint-create-as', 'point');
  const top = (await domain.virsh('domblklist', '--details')).split(/\s+/).at(-2) ?? '';
  expect(top).toMatch(/\.three$/);
  const files = [domain.diskPath(), ...EXTERNAL.map((name) => top.replace(/three$/, name))];
  const metadata = await metadataOf(domain, files);
  expect(metadata.join('\n')).toContain('internal');
  expect(metadata.join('\n')).toContain("passwd='Vnc-5ecr'");
  const before = await photograph(domain);
  const ticks = await domain.ticks();

  let id = '';
  for (const [flags, method] of [
    [['--method', 'rebase'], 'rebase'],
    [['--mode', 'cold'], undefined],
    // Of itself it takes the way that has nothing to lose.
    [[], 'copy'],
  ] as const) {
    const published = await publish([domain.name, ...flags], { sandbox });
    id = published.id;
    expect(published.record.properties.snapshot_method).toBe(method);
    await expectWhole(domain, before);
    expect(await metadataOf(domain, files)).toEqual(metadata);
  }
  await expectSameAfterPowerOff(domain, sandbox, files);
  await domain.destroy();
  await expectGoodImage(await pull(id, 'qcow2', sandbox), 'qcow2', { ticks, marker: 'snapshots' });
});

/** While it is undefined a guest that goes off takes its metadata along: they are defined again. */
async function expectSameAfterPowerOff(
  domain: TestDomain,
  sandbox: Sandbox,
  files: readonly string[],
): Promise<void> {
  const metadata = await metadataOf(domain, files);
  const before = await photograph(domain);
  // Its process is stopped after the mirror has started, until the guest is off.
  const env = { VIRT_PUBLISH_TEST_AT: 'done:mirror=SIGSTOP' };
  const args = ['snapshot', domain.name, '--method', 'rebase', '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  const stat = `/proc/${child.pid}/stat`;
  await waitFor('the run to stop', async () => (await readFile(stat, 'utf8')).includes(') T '));
  await domain.virsh('destroy');
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout.slice(-3000)).toBe(20);
  await expectWhole(domain, { ...before, state: 'shut off' });
  expect(await metadataOf(domain, files)).toEqual(metadata);
  expect((await runCli(['status'], { sandbox })).stdout).not.toContain(domain.name);
}
