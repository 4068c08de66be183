// The built command line as its users meet it: help, wrong usage, wrong configuration.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll, describe, expect, it } from 'vitest';

const main = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function virtPublish(...args: string[]) {
  const env = { PATH: process.env.PATH, HOME: folder };
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
}

describe('help', () => {
  const commands = [
    ...['snapshot', 'list', 'show', 'pull', 'update', 'deactivate', 'reactivate', 'delete'],
    ...['alias', 'verify', 'sums', 'copy', 'prune', 'gc', 'status', 'recover', 'chain', 'inspect'],
  ];
  it('names every command', () => {
    const { status, stdout, stderr } = virtPublish('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  });

  for (const command of commands)
    it(`of ${command} stands on standard output, with the flags of all commands`, () => {
      const { status, stdout } = virtPublish(command, '--help');
      expect(status).toBe(0);
      expect(stdout).toMatch(new RegExp(`^Usage: virt-publish ${command} `));
      expect(stdout).toContain('--json');
      expect(virtPublish('help', command).stdout).toBe(stdout);
    });

  it('no line of it is wider than a hundred columns', () => {
    for (const command of commands)
      for (const line of virtPublish(command, '--help').stdout.split('\n'))
        expect(line.length).toBeLessThanOrEqual(100);
  });

  it('is what one gets without a command, on standard error and with exit 2', () => {
    const { status, stdout, stderr } = virtPublish();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: virt-publish');
  });
});

it('--version prints the version of the package', () => {
  expect(virtPublish('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe('wrong usage is exit 2 and one line that says what to do', () => {
  const cases: [string[], RegExp][] = [
    [['snapshot'], /missing required argument 'domain'; see virt-publish snapshot --help/],
    [
      ['snapshoot', 'x'],
      /unknown command 'snapshoot' \(Did you mean snapshot\?\); see virt-publish --help/,
    ],
    [
      ['snapshot', 'x', '--mode', 'hot'],
      /'hot' is invalid\. Allowed choices are auto, live, cold;/,
    ],
    [['snapshot', 'x', '--property', 'novalue'], /It must be KEY=VALUE/],
    [['snapshot', 'x', '--bandwidth', '1.5'], /It must be a whole number/],
    [
      ['snapshot', 'x', '--volume-snapshots', '--sysprep'],
      /--sysprep is about an image's own data/,
    ],
    [['snapshot', 'x', '--hash', 'sha256,crc'], /Allowed are md5, sha512/],
    [['snapshot', 'x', '--disk', 'vda', '--all-disks'], /--disk, or .* --all-disks, not both/],
    [['list', '--endpoint', 'ceph'], /the command line: s3\.endpoint must start with http/],
    [['list', '--config', '/none.json'], /\/none\.json: the configuration cannot be read/],
    [['pull', 'x', '--artefact', 'nvram.fd', '--format', 'raw'], /leave --format out/],
    [
      ['snapshot', 'x', '--from-snapshot', 's', '--quiesce', 'try'],
      /leave --quiesce out with --from-snapshot/,
    ],
    [['inspect'], /missing required argument 'domain'; see virt-publish inspect --help/],
    [['chain', 'commit'], /missing required argument 'domain'; see virt-publish chain --help/],
    [['chain', 'pull', 'x', '--bandwidth', 'fast'], /It must be a whole number/],
    [['show'], /missing required argument 'image'; see virt-publish show --help/],
  ];
  for (const [args, message] of cases)
    it(args.join(' '), () => {
      const { status, stdout, stderr } = virtPublish(...args);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/^virt-publish: /);
      expect(stderr.split('\n').length).toBeLessThanOrEqual(3);
    });

  it('with --json it is the final object', () => {
    const { status, stdout, stderr } = virtPublish('snapshot', 'x', '--mode', 'hot', '--json');
    expect({ status, stderr }).toEqual({ status: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ type: 'error', code: 'USAGE', exitCode: 2 });
  });
});

it('a mistake in a configuration file names file and key', () => {
  const file = join(folder, 'bad.json');
  writeFileSync(file, '{"snapshot": {"formt": "raw"}}');
  const { status, stderr } = virtPublish('snapshot', 'x', '--config', file);
  expect(status).toBe(2);
  expect(stderr).toBe(
    `virt-publish: ${file}: snapshot.formt is not a known key; allowed here: mode, method, format, compress, quiesce, hash, bandwidthMib, atOnce, visibility\n`,
  );
  const json = virtPublish('snapshot', 'x', '--config', file, '--json');
  expect(json.status).toBe(2);
  expect(JSON.parse(json.stdout)).toMatchObject({ type: 'error', code: 'CONFIG', exitCode: 2 });
});
