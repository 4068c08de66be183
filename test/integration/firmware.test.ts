// A guest with UEFI and a vTPM: every mode keeps both, and --with-nvram publishes the variables.
import { copyFile, readdir, rm } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { makeRootDisk } from '../support/disks.ts';
import { createDomain, createDomainOn, type TestDomain } from '../support/domains.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { sha256Of } from '../support/judges.ts';
import { expectNoRunLeft, publish, pull } from '../support/publishing.ts';

const TPM =
  "<tpm model='tpm-crb'><backend type='emulator' version='2.0' persistent_state='yes'/></tpm>";
/** Where libvirt has the state of vTPMs; a persistent one outlives its domain. */
const SWTPM = '/var/lib/libvirt/swtpm';
const UEFI = { uefi: true, memoryMib: 160 };

type Artefact = Record<'name' | 'sha256', string>;

/** The firmware's variables and the files of the vTPM, each with its digest. */
async function firmwareOf(domain: TestDomain): Promise<Record<string, string>> {
  const tpm = join(SWTPM, domain.uuid, 'tpm2');
  const state = (await readdir(tpm)).filter((name) => name.endsWith('.permall'));
  expect(state).toHaveLength(1);
  const files = [join(domain.dir, 'nvram.fd'), ...state.map((name) => join(tpm, name))];
  return Object.fromEntries(
    await Promise.all(files.map(async (file) => [file, await sha256Of(file)])),
  );
}

async function pullNvram(id: string, sandbox: Sandbox): Promise<string> {
  const file = join(sandbox.dir, `${id}.fd`);
  const ran = await runCli(['pull', id, file, '--artefact', 'nvram.fd'], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  return file;
}

test('live and cold snapshots keep UEFI variables and vTPM, and `--with-nvram` publishes the variables', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ ...UEFI, shape: 'qcow2', devices: TPM });
  await domain.agent.writeFile('/data/marker', 'uefi');
  const before = await photograph(domain);
  const firmware = await firmwareOf(domain);
  const nvram = join(domain.dir, 'nvram.fd');

  const plan = await runCli(['snapshot', domain.name, '--dry-run', '--with-nvram'], { sandbox });
  expect(plan.stdout).toContain(`${nvram} is published as nvram.fd`);
  expect(plan.stdout).toContain('not the NVRAM file (kept), not the vTPM state (kept)');

  for (const [flags, expected] of [
    [['--method', 'copy'], { snapshot_method: 'copy' }],
    [['--mode', 'cold', '--with-nvram'], { snapshot_mode: 'cold' }],
  ] as const) {
    const { id, record } = await publish([domain.name, ...flags], { sandbox });
    await expectWhole(domain, before);
    expect(await firmwareOf(domain)).toEqual(firmware);
    expect(record.properties).toMatchObject({
      ...{ ...expected, hw_firmware_type: 'uefi', hw_machine_type: expect.stringContaining('pc') },
      ...{ hw_tpm_model: 'tpm-crb', hw_tpm_version: '2.0' },
    });
    const [, artefact] = record.artefacts as Artefact[];
    if (expected.snapshot_mode !== 'cold') expect(artefact).toBeUndefined();
    else {
      expect(artefact).toMatchObject({ name: 'nvram.fd', sha256: firmware[nvram] });
      expect(await sha256Of(await pullNvram(id, sandbox))).toBe(firmware[nvram]);
    }
  }

  // By rebase, and the run dies when its image is whole: it is published with its variables.
  const env = { VIRT_PUBLISH_TEST_AT: 'point:image=SIGKILL' };
  const flags = ['--method', 'rebase', '--with-nvram', '--alias', 'resumed'];
  const died = await runCli(['snapshot', domain.name, ...flags], { sandbox, env });
  expect(died.exitCode).toBeNull();
  await expectWhole(domain, before);
  expect(await firmwareOf(domain)).toEqual(firmware);
  const recovered = await runCli(['recover', '--resume', '--json'], { sandbox });
  expect(recovered.stdout).toContain('"outcome":"published"');
  await expectNoRunLeft(sandbox);
  const pulledNvram = await pullNvram('resumed', sandbox);
  expect(await sha256Of(pulledNvram)).toBe(firmware[nvram]);

  const sums = await runCli(['sums', 'resumed'], { sandbox });
  expect(sums.stdout).toMatch(new RegExp(`${firmware[nvram]}  [0-9a-f-]{36}/nvram.fd`));
  expect((await runCli(['verify', 'resumed'], { sandbox })).exitCode).toBe(0);
  await domain.destroy();
  await rm(join(SWTPM, domain.uuid), { recursive: true });

  // What was pulled boots, with the variables that were pulled.
  const dir = await makeFolder('vp-test');
  const disk = await makeRootDisk(dir, 'qcow2');
  await copyFile(await pull('resumed', 'qcow2', sandbox), disk.path);
  await copyFile(pulledNvram, join(dir, 'nvram.fd'));
  const booted = await createDomainOn(dir, [disk], { ...UEFI, transient: true });
  expect(await booted.agent.readFile('/data/marker')).toBe('uefi');
  await booted.destroy();
});
