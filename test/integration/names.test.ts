// Special characters in domain names and paths: one name that shells, XML, qemu-img and virsh must quote.
import { mkdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { makeRootDisk } from '../support/disks.ts';
import { createDomainOn, type TestDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sameContent } from '../support/judges.ts';
import { expectNoRunLeft } from '../support/publishing.ts';

const HURTING = `-a b,c,,d=e;f%41&<g>"h"'i'é猫$(touch x)\`j\`|k*?[l]#~{m}:n\\o nbd:`;
const FAILING = `--import ${new URL('../faults/fail-libvirt.mjs', import.meta.url).href}`;

let sandbox: Sandbox;

/** `virt-publish COMMAND FLAGS -- ARGS` with work directory and registry under names that hurt. */
function virtPublish(
  command: string,
  flags: readonly string[],
  args: readonly string[],
  env: Record<string, string> = {},
): Promise<CliResult> {
  const places = {
    VIRT_PUBLISH_WORK_DIR: join(sandbox.dir, `work ${HURTING}`),
    VIRT_PUBLISH_REGISTRY: join(sandbox.dir, `registry ${HURTING}`),
  };
  const all = [command, '--json', ...flags, '--', ...args];
  return runCli(all, { sandbox, env: { ...places, ...env } });
}

async function publish(domain: TestDomain, ...flags: string[]): Promise<string> {
  const ran = await virtPublish('snapshot', flags, [domain.name]);
  expect(ran.exitCode, ran.stdout).toBe(0);
  return String((ran.events.at(-1) as { image: { id: string } }).image.id);
}

test('special characters work in the names of domain, layers, work directory, registry, image and files', async () => {
  sandbox = await makeSandbox();
  const dir = join(await makeFolder('vp-test'), HURTING);
  await mkdir(dir, { mode: 0o711 });
  const disk = await makeRootDisk(dir, 'chain3');
  const domain = await createDomainOn(dir, [disk], { name: HURTING, autostart: true });
  const before = await photograph(domain);

  const named = ['--name', HURTING, '--property', `a=${HURTING}`];
  await publish(domain, ...named);
  await expectWhole(domain, before);
  // Its own name, cut to what an image's may have, where none is given.
  await publish(domain, '--mode', 'cold', '--method', 'copy');
  await expectWhole(domain, before);

  // The error names a command that a shell and virsh understand.
  const fail = { NODE_OPTIONS: FAILING, FAIL_LIBVIRT: 'defineXML=99+1' };
  const failed = await virtPublish('snapshot', [], [domain.name], fail);
  expect(failed.exitCode, failed.stdout).toBe(50);
  const { recoveryCommand } = failed.events.at(-1) as { recoveryCommand: string[] };
  await must('sh', ['-c', recoveryCommand.at(-1) ?? 'false'], { cwd: dir });
  await expectWhole(domain, before);
  const status = await runCli(['status'], { sandbox });
  expect(status.stdout).toContain(HURTING);
  const recovered = await virtPublish('recover', [], [domain.name]);
  expect(recovered.exitCode, recovered.stdout).toBe(0);
  await expectWhole(domain, before);
  await expectNoRunLeft(sandbox);

  await domain.shutdown();
  await publish(domain, '--format', 'raw', '--name', 'offline');
  const raw = join(sandbox.dir, `${HURTING}.raw`);
  const pulled = await virtPublish('pull', [], ['offline', raw]);
  expect(pulled.exitCode, pulled.stdout).toBe(0);
  expect(await sameContent(disk, { path: raw, format: 'raw' })).toBe(true);

  // By the image's own name, and into another format; FILE is named as it is, not as a protocol.
  const asVdi = await runCli(['pull', '--format', 'vdi', '--', HURTING, 'nbd:unix,,a.vdi'], {
    sandbox,
    env: { VIRT_PUBLISH_REGISTRY: join(sandbox.dir, `registry ${HURTING}`) },
  });
  expect(asVdi.exitCode, asVdi.stderr).toBe(0);
  const vdi = join(sandbox.dir, 'nbd:unix,,a.vdi');

  const packed = `${raw} 2.zst`;
  await must('zstd', ['-q', '-o', packed, '--', raw]);
  for (const [file, format] of [
    [vdi, 'vdi'],
    [packed, 'raw'],
  ] as const) {
    const imported = await virtPublish('import', ['--format', format, '--name', HURTING], [file]);
    expect(imported.exitCode, imported.stdout).toBe(0);
  }
  const verified = await virtPublish('verify', ['--all'], []);
  expect(verified.exitCode, verified.stdout).toBe(0);
  expect(verified.stdout).not.toContain('damaged');
  await domain.destroy();
});
