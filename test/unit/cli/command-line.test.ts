// The built command line as its users meet it: help, wrong usage, wrong configuration.
import { spawnSync } from 'node:child_process';
import { mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import type { Command } from 'commander';
import { afterAll, describe, expect, it } from 'vitest';
import { buildProgram } from '#built/cli/program.js';

const main = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'cli-'));
afterAll(() => rmSync(folder, { recursive: true }));

function virtPublish(...args: string[]) {
  const env = { PATH: process.env.PATH, HOME: folder, VIRT_PUBLISH_STATE_DIR: folder };
  return spawnSync(process.execPath, [main, ...args], { encoding: 'utf8', env });
}

describe('help', () => {
  const commands = [
    ...['snapshot', 'list', 'show', 'pull', 'update', 'deactivate', 'reactivate', 'delete'],
    ...['alias', 'verify', 'sums', 'copy', 'prune', 'gc', 'status', 'recover', 'chain', 'inspect'],
    ...['import', 'url', 'doctor', 'config', 'volume-snapshot'],
  ];
  it('names every command', () => {
    const { status, stdout, stderr } = virtPublish('--help');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    for (const command of commands) expect(stdout).toMatch(new RegExp(`^  ${command}\\b`, 'm'));
  });

  for (const command of commands)
    it(`of ${command} is printed on standard output, with the flags of all commands`, () => {
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

  /** Filters, choices of a thing, and changes: without them there is none. */
  const WITHOUT_DEFAULT = [
    ...['--alias', '--tag', '--property', '--from-snapshot', '--log-file', '--config', '--untag'],
    ...['--remove-property', '--if-version', '--to', '--marker', '--owner', '--disk-format'],
    ...['--size-min', '--size-max', '--created-after', '--created-before', '--updated-after'],
    ...['--updated-before', '--status', '--sha256', '--keep-last', '--keep-daily'],
    ...['--keep-weekly', '--keep-monthly'],
  ];
  /** What these commands change or look for, or of another registry as of this one. */
  const WITHOUT_DEFAULT_IN: Record<string, RegExp> = {
    list: /^--(name|visibility)$/,
    prune: /^--name$/,
    update: /^--(name|visibility|min-disk|min-ram)$/,
    copy: /^--to-/,
  };

  it('has the default of every flag that takes a value', () => {
    const visit = (command: Command): string[] => [
      ...command.options
        .filter(({ required, defaultValue, description, long }) => {
          const isNone = WITHOUT_DEFAULT.includes(long ?? '');
          const isNoneHere = WITHOUT_DEFAULT_IN[command.name()]?.test(long ?? '');
          const says = defaultValue !== undefined || description.includes('(default: ');
          return required && !says && !isNone && !isNoneHere;
        })
        .map(({ long }) => `${command.name()} ${long}`),
      ...command.commands.flatMap(visit),
    ];
    expect(visit(buildProgram(() => undefined))).toEqual([]);
    const { stdout } = virtPublish('snapshot', '--help');
    expect(stdout).toContain('freeze the file systems for the point in time (default: try)');
  });

  it('ends without an error if its reader goes away', () => {
    for (const line of ['snapshot --help', '--help', 'help list', '--version', 'nosuch', '']) {
      const script = `"$0" "$1" ${line} 2>&1 | true; echo "${'$'}{PIPESTATUS[0]}"`;
      const { stdout, stderr } = spawnSync('bash', ['-c', script, process.execPath, main], {
        encoding: 'utf8',
      });
      expect({ line, stderr }).toEqual({ line, stderr: '' });
      expect(stdout).toMatch(/^[02]\n$/);
    }
  });

  it('is printed on standard error without a command, with exit 2', () => {
    const { status, stdout, stderr } = virtPublish();
    expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
    expect(stderr).toContain('Usage: virt-publish');
  });
});

it('--version prints the version of the package', () => {
  expect(virtPublish('--version').stdout).toMatch(/^\d+\.\d+\.\d+\n$/);
});

describe('wrong usage exits 2, with one message and one hint', () => {
  const cases: [string[], RegExp][] = [
    [['snapshot'], /missing required argument 'domain'\nhint: see virt-publish snapshot --help\n/],
    [
      ['snapshoot', 'x'],
      /unknown command 'snapshoot' \(Did you mean snapshot\?\)\nhint: see virt-publish --help\n/,
    ],
    [
      ['snapshot', 'x', '--mode', 'hot'],
      /'hot' is invalid\. Allowed choices are auto, live, cold\n/,
    ],
    [['snapshot', 'x', '--property', 'novalue'], /It must be KEY=VALUE/],
    [['snapshot', 'x', '--bandwidth', 'fast'], /It must be MiB, or a size such as .*100M/],
    [
      ['snapshot', 'x', '--volume-snapshots', '--sysprep'],
      /--volume-snapshots is a command of its own now\nhint: run virt-publish volume-snapshot x\n/,
    ],
    [['snapshot', 'x', '--hash', 'sha256,crc'], /Allowed are md5, sha512/],
    [
      ['snapshot', 'x', '--disk', 'vda', '--all-disks'],
      /--disk and --all-disks exclude each other\n/,
    ],
    [['list', '--endpoint', 'ceph'], /the command line: s3\.endpoint must start with http/],
    [['list', '--config', '/none.json'], /\/none\.json: the configuration cannot be read/],
    [['pull', 'x', '--artefact', 'nvram.fd', '--format', 'raw'], /leave --format out/],
    [
      ['snapshot', 'x', '--from-snapshot', 's', '--quiesce', 'try'],
      /--quiesce has no effect with --from-snapshot.*\nhint: leave --quiesce out\n/,
    ],
    [['inspect'], /missing required argument 'domain'\nhint: see virt-publish inspect --help\n/],
    [['chain', 'commit'], /missing .* 'domain'\nhint: see virt-publish chain commit --help\n/],
    [['chain', 'pull', 'x', '--bandwidth', 'fast'], /\nhint: see virt-publish chain pull --help\n/],
    [
      ['recover', 'deadbeef'],
      /no run in the state directory has the id or the domain UUID deadbeef/,
    ],
    [['chain', 'pul'], /unknown command 'pul' .*\nhint: see virt-publish chain --help\n/],
    [
      ['nosuch', 'list', '--name', 'show'],
      /unknown command 'nosuch'\nhint: see virt-publish --help\n/,
    ],
    [['alias', 'set', 'list'], /missing .* 'image'\nhint: see virt-publish alias set --help\n/],
    [['url', 'x', '--expires', 'soon'], /It must be seconds, or a time such as 90s/],
    [['import', 'x', '--max-size', '10X'], /It must be bytes, or a size such as 100M/],
    [['gc', '--older-than', '7'], /It must be an age, such as 90s/],
    [['show'], /missing required argument 'image'\nhint: see virt-publish show --help\n/],
  ];
  for (const [args, message] of cases)
    it(args.join(' '), () => {
      const { status, stdout, stderr } = virtPublish(...args);
      expect({ status, stdout }).toEqual({ status: 2, stdout: '' });
      expect(stderr).toMatch(message);
      expect(stderr).toMatch(/^virt-publish: /);
      expect(stderr.split('\n').length).toBeLessThanOrEqual(3);
    });

  it('is the final object with --json', () => {
    const { status, stdout, stderr } = virtPublish('snapshot', 'x', '--mode', 'hot', '--json');
    expect({ status, stderr }).toEqual({ status: 2, stderr: '' });
    expect(JSON.parse(stdout)).toMatchObject({ type: 'error', code: 'USAGE', exitCode: 2 });
  });
});

it('an unknown key in a configuration file is an error that names file and key', () => {
  const file = join(folder, 'bad.json');
  writeFileSync(file, '{"snapshot": {"formt": "raw"}}');
  const { status, stderr } = virtPublish('snapshot', 'x', '--config', file);
  expect(status).toBe(2);
  expect(stderr).toBe(
    `virt-publish: ${file}: snapshot.formt is not a known key\nhint: remove it; known here: mode, method, format, compress, quiesce, hash, bandwidthMib, maxConcurrent, visibility\n`,
  );
  const json = virtPublish('snapshot', 'x', '--config', file, '--json');
  expect(json.status).toBe(2);
  expect(JSON.parse(json.stdout)).toMatchObject({ type: 'error', code: 'CONFIG', exitCode: 2 });
});

describe('config show', () => {
  const settings = (env: NodeJS.ProcessEnv, ...args: string[]) => {
    const all = [main, 'config', 'show', '--json', ...args];
    const { stdout } = spawnSync(process.execPath, all, {
      encoding: 'utf8',
      env: { PATH: process.env.PATH, HOME: folder, ...env },
    });
    const list: { key: string }[] = JSON.parse(stdout).settings;
    return new Map(list.map(({ key, ...setting }) => [key, setting]));
  };

  it('prints each setting with its source', () => {
    const file = join(folder, 'show.json');
    writeFileSync(file, '{"timeouts": {"freezeMs": "4s"}, "upload": {"rateMib": "10M"}}');
    const env = { VIRT_PUBLISH_UPLOAD_RATE_MIB: '512K', LIBVIRT_DEFAULT_URI: 'test:///default' };
    const flags = [
      '--config',
      file,
      '--endpoint',
      'http://user:secret@s3.test',
      '--work-dir',
      '/w',
    ];
    const found = settings(env, ...flags);
    expect(found.get('timeouts.freezeMs')).toEqual({ value: 4000, source: file });
    expect(found.get('upload.rateMib')).toEqual({
      ...{ value: 0.5, source: 'VIRT_PUBLISH_UPLOAD_RATE_MIB' },
    });
    expect(found.get('connect')).toEqual({
      ...{ value: 'test:///default', source: 'LIBVIRT_DEFAULT_URI' },
    });
    expect(found.get('s3.endpoint')).toEqual({
      ...{ value: 'http://***@s3.test', source: '--endpoint' },
    });
    expect(found.get('workDir')).toEqual({ value: '/w', source: '--work-dir' });
    expect(found.get('snapshot.quiesce')).toEqual({ value: 'try', source: 'default' });
  });

  it('prints a table', () => {
    const { status, stdout } = virtPublish('config', 'show', '--registry', 's3://images');
    expect(status).toBe(0);
    expect(stdout).toMatch(/^KEY +VALUE +SOURCE\n/);
    expect(stdout).toMatch(/^registry +s3:\/\/images +--registry$/m);
  });
});
