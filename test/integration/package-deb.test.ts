// The Debian package: what it holds and declares, and that its own Node publishes a running domain.
import { mkdir, readFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, expect, test } from 'vitest';
import { makeSandbox } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { must } from '../support/exec.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';

const root = new URL('../..', import.meta.url).pathname;
const PAYLOAD = 'usr/lib/virt-publish/package';

let dir: string;
let deb: string;

beforeAll(async () => {
  dir = await makeFolder('vp-deb');
  deb = await build('first');
});

/** NOTE: of the `dist` that is tested here; `npm run package:deb` would build another one first. */
async function build(name: string): Promise<string> {
  const args = ['--fast', '--output', join(dir, name)];
  const printed = await must(join(root, 'scripts/package-deb.sh'), args, { timeoutMs: 170_000 });
  return printed.trim();
}

test('the package is named by its version, and depends on libvirt and qemu-utils, but not on nodejs', async () => {
  const { version } = JSON.parse(await readFile(join(root, 'package.json'), 'utf8')) as {
    version: string;
  };
  expect(deb).toBe(join(dir, 'first', `virt-publish_${version}_amd64.deb`));
  const depends = await must('dpkg-deb', ['--field', deb, 'Depends']);
  expect(depends).toMatch(/\blibvirt0 \(>= 5\.10\)/);
  expect(depends).toMatch(/\bqemu-utils\b/);
  expect(depends).toMatch(/\blibc6 \(>= /);
  expect(depends).not.toMatch(/node/);
});

test('two builds of the package have the same bytes', async () => {
  await must('cmp', [deb, await build('second')]);
});

test('the package holds Node, the command, units and a conffile; all files belong to root', async () => {
  const lines = (await must('dpkg-deb', ['--contents', deb])).trim().split('\n');
  const paths = lines.map((line) => line.split(/\s+/)[5]?.slice(1));
  expect(paths).toEqual(
    expect.arrayContaining([
      '/etc/virt-publish/config.json',
      '/usr/bin/virt-publish',
      `/${PAYLOAD}/node`,
      `/${PAYLOAD}/dist/run/guard-main.js`,
      '/usr/lib/systemd/system/virt-publish-recover.service',
      '/usr/lib/systemd/system/virt-publish-snapshot@.service',
      '/usr/lib/systemd/system/virt-publish-snapshot@.timer',
      '/usr/share/doc/virt-publish/changelog.gz',
      '/usr/share/doc/virt-publish/copyright',
    ]),
  );
  expect(paths.filter((path) => path?.includes('/dist/library/'))).toEqual([]);
  expect(paths.filter((path) => path?.includes('musl'))).toEqual([]);
  expect(lines.filter((line) => !line.includes(' root/root '))).toEqual([]);
  const control = join(dir, 'control');
  await must('dpkg-deb', ['--control', deb, control]);
  expect(await readFile(join(control, 'conffiles'), 'utf8')).toBe(
    '/etc/virt-publish/config.json\n',
  );
  for (const script of ['postinst', 'prerm', 'postrm'])
    await must('sh', ['-n', join(control, script)]);
});

test('the copyright file names every package that is bundled or shipped beside the bundle', async () => {
  const text = await must('sh', [
    '-c',
    'dpkg-deb --fsys-tarfile "$0" | tar -xOf - ./usr/share/doc/virt-publish/copyright',
    deb,
  ]);
  const bundled = await readFile(join(root, 'dist/THIRD-PARTY.txt'), 'utf8');
  const titles = [...bundled.matchAll(/^={72}\n(.*)$/gm)].map(([, title]) => title);
  expect(titles.length).toBeGreaterThan(20);
  expect(titles.filter((title) => !text.includes(`\n${title}\n`))).toEqual([]);
  for (const name of ['Node.js', 'koffi', '@node-rs/crc32']) expect(text).toContain(`\n${name}\n`);
  expect(text).not.toContain('END OF TERMS AND CONDITIONS');
});

test('the Node of the package publishes a running domain, and starts the guard from the package', async () => {
  const { dir: home, env } = await makeSandbox();
  const unpacked = join(home, 'unpacked');
  await mkdir(unpacked);
  await must('dpkg-deb', ['--extract', deb, unpacked]);
  const payload = join(unpacked, PAYLOAD);
  const loaded = join(home, 'loaded');
  const tracer = new URL('../support/loaded-files.mjs', import.meta.url).href;
  const run = (...args: string[]) =>
    must(join(payload, 'node'), [join(payload, 'dist/cli/main.js'), ...args], {
      env: { ...env, PATH: '/usr/bin', NODE_OPTIONS: `--import ${tracer}`, LOADED_FILES: loaded },
      timeoutMs: 60_000,
    });

  const domain = await createDomain();
  const before = await photograph(domain);
  const id = (await run('snapshot', domain.name, '--quiet')).trim();
  expect(await run('list', '--json')).toContain(id);
  const files = (await readFile(loaded, 'utf8')).trim().split('\n');
  expect(files).toContain(`file://${payload}/dist/run/guard-main.js`);
  expect(files.filter((file) => !file.startsWith(`file://${payload}/`) && file !== tracer)).toEqual(
    [],
  );
  await expectWhole(domain, before);
});
