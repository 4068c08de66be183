// Secrets planted wherever a domain, an image file or a command line can have them: no output and no record holds one.
import { readdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { type CliResult, makeSandbox, runCli } from '../support/cli.ts';
import { makeDataDisk, type TestDisk } from '../support/disks.ts';
import { createDomainOn } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';

let planted = 0;
const secrets: string[] = [];
/** A word that stands nowhere else. */
function plant(): string {
  planted += 1;
  const word = `PLANTED${planted}x${Math.random().toString(36).slice(2, 10)}`;
  secrets.push(word);
  return word;
}

const PORT = "<host name='127.0.0.1' port='1'/>";
const URL_WITH_ALL = () =>
  `https://${plant()}:${plant()}@127.0.0.1:1/x.img?token=${plant()}#${plant()}`;

/** The backing file that the header of a local overlay names. */
const BACKING: Readonly<Record<string, () => string>> = {
  vdb: URL_WITH_ALL,
  vdc: () =>
    `json:{"driver":"raw","file":{"driver":"https","url":"https://127.0.0.1:1/x?sig=${plant()}","username":"u","password-secret":"${plant()}","cookie":"a=${plant()}; b=${plant()}"}}`,
  vdd: () => `rbd:pool/image:id=admin:key=${plant()}:mon_host=127.0.0.1`,
  vde: () => `ssh://root:${plant()}@127.0.0.1:1/x.img`,
  vdf: () => `iscsi://user%${plant()}@127.0.0.1:1/iqn.2026-01.x/1`,
};

/** What libvirt's XML has of a network disk. */
const NETWORK: Readonly<Record<string, () => string>> = {
  vdg: () =>
    `<source protocol='https' name='x.img' query='sig=${plant()}'>${PORT}<cookies><cookie name='a'>${plant()}</cookie></cookies></source>`,
  vdh: () => `<source protocol='https' name='x.img?X-Amz-Signature=${plant()}'>${PORT}</source>`,
};

async function overlayOn(dir: string, target: string, backing: string): Promise<TestDisk> {
  const path = join(dir, `${target}.qcow2`);
  await must('qemu-img', [
    'create',
    '-q',
    '-u',
    '-f',
    'qcow2',
    '-b',
    backing,
    '-F',
    'raw',
    path,
    '8M',
  ]);
  return {
    target,
    type: 'file',
    path,
    format: 'qcow2',
    backing: [],
    release: async () => undefined,
  };
}

async function networkDisk(dir: string, target: string, source: string): Promise<TestDisk> {
  const disk = await makeDataDisk(dir, 'raw');
  const xml = `<driver name='qemu' type='raw'/>${source}`;
  return { ...disk, target, foreignSource: { type: 'network', xml } };
}

test('no secret of a domain, its disks or the command line is printed, logged or published', async () => {
  const sandbox = await makeSandbox();
  const dir = await makeFolder('vp-test');
  const disks = [{ ...(await makeDataDisk(dir, 'qcow2')), target: 'vda' }];
  for (const [target, make] of Object.entries(BACKING))
    disks.push(await overlayOn(dir, target, make()));
  for (const [target, make] of Object.entries(NETWORK))
    disks.push(await networkDisk(dir, target, make()));
  const vncPassword = plant().slice(-8);
  secrets.push(vncPassword);
  const title = 'a title';
  const { name } = await createDomainOn(dir, disks, { state: 'off', vncPassword, title });
  const log = join(sandbox.dir, 'all.log');
  const registry = join(sandbox.dir, 'registry');
  const ran: CliResult[] = [];
  const cli = async (...args: string[]) => {
    const result = await runCli([...args, '--verbose', '--log-file', log], { sandbox });
    ran.push(result);
    return result;
  };
  expect((await cli('snapshot', name, '--disk', 'vda', '-r', registry)).exitCode).toBe(0);
  for (const target of [...Object.keys(BACKING), ...Object.keys(NETWORK)]) {
    const { exitCode } = await cli('snapshot', name, '--disk', target, '-r', registry, '--json');
    expect({ target, exitCode }).toEqual({ target, exitCode: 12 });
  }
  for (const target of ['vdb', 'vdh']) await cli('chain', 'show', name, '--disk', target);
  await cli('inspect', name, '-r', registry);
  await cli('inspect', name, '-r', registry, '--json');
  await cli('snapshot', name, '--all-disks', '--dry-run', '-r', registry);
  await cli('import', URL_WITH_ALL(), '--name', 'x', '--allow-private', '-r', registry);
  await cli('import', `json:{"password":"${plant()}"}`, '--name', 'x', '-r', registry);
  await cli('list', '-r', `s3://${plant()}:${plant()}@bucket/x`);
  await cli('list', '-r', 's3://bucket/x', '--endpoint', URL_WITH_ALL());
  await cli('inspect', name, '--connect', `qemu+tcp://u:${plant()}@127.0.0.1:1/system`);
  await cli('doctor', name, '-r', registry, '--connect', `qemu://u:${plant()}@127.0.0.1:1/system`);

  const shown = [
    await readFile(log, 'utf8'),
    ...ran.flatMap(({ stdout, stderr }) => [stdout, stderr]),
  ];
  // The masks stand where the secrets were, so these were looked at.
  expect(shown.join('\n')).toContain('https://***@127.0.0.1:1/x.img?***');
  expect(shown.join('\n')).toContain('rbd:pool/image:id=admin:key=***');
  expect(shown.join('\n')).toContain('"cookie":"***"');
  const kept = [...(await textsBelow(registry)), ...(await textsBelow(sandbox.stateDir))];
  for (const text of [...shown, ...kept])
    for (const secret of secrets) expect(text).not.toContain(secret);
});

async function textsBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const files = entries.filter((entry) => entry.isFile());
  return Promise.all(files.map((file) => readFile(join(file.parentPath, file.name), 'latin1')));
}
