// The configuration: its order, its defaults, and errors that name file or variable and key.
import { mkdirSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, describe, expect, it } from 'vitest';
import { loadConfig } from '#built/config/config.js';
import {
  listSettings,
  readConfigAsset,
  readSchema,
  type SchemaNode,
} from '#built/config/schema.js';
import { validateLayers } from '#built/config/validate.js';

let folder: string;
let env: NodeJS.ProcessEnv;

beforeEach(() => {
  folder = mkdtempSync(join(tmpdir(), 'config-'));
  env = { HOME: folder };
});
afterEach(() => rmSync(folder, { recursive: true }));

function write(name: string, values: unknown): string {
  const path = join(folder, name);
  mkdirSync(join(path, '..'), { recursive: true });
  writeFileSync(path, typeof values === 'string' ? values : JSON.stringify(values));
  return path;
}

function leaves(value: unknown, path: string[] = []): string[] {
  if (typeof value !== 'object' || value === null || Array.isArray(value)) return [path.join('.')];
  return Object.entries(value).flatMap(([key, child]) => leaves(child, [...path, key]));
}

describe('the schema', () => {
  it('has exactly the keys of default.json, which it accepts', () => {
    const settings = listSettings(readSchema()).map((setting) => setting.path.join('.'));
    expect(settings).toEqual(leaves(readConfigAsset('default.json')));
    const values = readConfigAsset('default.json');
    expect(() => validateLayers([{ source: 'default.json', values }])).not.toThrow();
  });

  it('describes every key and allows no other', () => {
    const visit = (node: SchemaNode & { additionalProperties?: boolean }) => {
      expect(node.description).toMatch(/\w/);
      if (node.properties === undefined) return;
      expect(node.additionalProperties).toBe(false);
      Object.values(node.properties).forEach(visit);
    };
    visit(readSchema());
  });

  it('gives each setting a variable of its own', () => {
    const variables = listSettings(readSchema()).map((setting) => setting.variable);
    expect(new Set(variables).size).toBe(variables.length);
    expect(variables).toContain('VIRT_PUBLISH_SNAPSHOT_FORMAT');
    expect(variables).toContain('VIRT_PUBLISH_WORK_DIR');
    expect(variables).toContain('VIRT_PUBLISH_S3_PATH_STYLE');
  });
});

describe('the order', () => {
  it('is defaults, user file, --config, environment, flags', async () => {
    write('.config/virt-publish/config.json', {
      snapshot: { format: 'raw', quiesce: 'off', bandwidthMib: 1, compress: 'none' },
    });
    const files = [
      write('a.json', { snapshot: { quiesce: 'require', bandwidthMib: 2 } }),
      write('b.json', { snapshot: { bandwidthMib: 3 }, reserve: { fraction: 0.1 } }),
    ];
    env.VIRT_PUBLISH_SNAPSHOT_BANDWIDTH_MIB = '4';
    env.VIRT_PUBLISH_SNAPSHOT_HASH = 'md5, sha512';
    env.VIRT_PUBLISH_S3_PATH_STYLE = 'true';
    env.VIRT_PUBLISH_REGISTRY = 's3://images/golden';
    const overrides = { snapshot: { bandwidthMib: 5 } };
    const config = await loadConfig({ env, files, overrides });
    expect(config.snapshot).toEqual({
      ...{ mode: 'auto', method: 'auto', format: 'raw', compress: 'none', quiesce: 'require' },
      ...{ hash: ['md5', 'sha512'], bandwidthMib: 5, maxConcurrent: 0, visibility: 'private' },
    });
    expect(config.reserve).toMatchObject({ minBytes: 1024 ** 3, fraction: 0.1 });
    expect(config.s3.pathStyle).toBe(true);
    expect(config.registry).toBe('s3://images/golden');
  });

  it('XDG_CONFIG_HOME is the folder of the user file, unless it is relative', async () => {
    write('xdg/virt-publish/config.json', { connect: 'qemu:///session' });
    expect(
      (await loadConfig({ env: { ...env, XDG_CONFIG_HOME: join(folder, 'xdg') } })).connect,
    ).toBe('qemu:///session');
    expect((await loadConfig({ env: { ...env, XDG_CONFIG_HOME: 'xdg' } })).connect).toBe(
      'qemu:///system',
    );
  });

  it('times and sizes take units, and a plain number keeps its own', async () => {
    const files = [
      write('u.json', {
        timeouts: { freezeMs: '30s', mirrorMs: '4h', detachMs: 250, checkMs: '250ms' },
        import: { maxBytes: '10MiB' },
        reserve: { minBytes: '10MB' },
        upload: { partSizeMib: '32M', rateMib: '512K' },
        snapshot: { bandwidthMib: '100MB' },
      }),
    ];
    const variables = { ...env, VIRT_PUBLISH_TIMEOUTS_PART_MS: '5m' };
    const config = await loadConfig({ env: variables, files });
    expect(config.timeouts).toMatchObject({
      ...{ freezeMs: 30_000, mirrorMs: 14_400_000, detachMs: 250, checkMs: 250, partMs: 300_000 },
    });
    expect(config.import.maxBytes).toBe(10 * 1024 ** 2);
    expect(config.reserve.minBytes).toBe(10_000_000);
    expect(config.upload).toMatchObject({ partSizeMib: 32, rateMib: 0.5 });
    expect(config.snapshot.bandwidthMib).toBe(95);
  });

  it('LIBVIRT_DEFAULT_URI wins over files, VIRT_PUBLISH_CONNECT over it', async () => {
    const files = [write('c.json', { connect: 'test:///file' })];
    const uri = { ...env, LIBVIRT_DEFAULT_URI: 'test:///libvirt' };
    expect((await loadConfig({ env: uri, files })).connect).toBe('test:///libvirt');
    const own = { ...uri, VIRT_PUBLISH_CONNECT: 'test:///own' };
    expect((await loadConfig({ env: own, files })).connect).toBe('test:///own');
  });
});

describe('state directory, work directory and registry', () => {
  it('follow from the user', async () => {
    const root = userInfo().uid === 0;
    const state = root ? '/var/lib/virt-publish' : join(folder, '.local/state/virt-publish');
    expect(await loadConfig({ env })).toMatchObject({
      ...{ stateDir: state, workDir: `${state}/runs`, registry: `${state}/registry` },
    });
  });

  it('follow from a configured state directory', async () => {
    const config = await loadConfig({ env: { ...env, VIRT_PUBLISH_STATE_DIR: '/srv/vp' } });
    expect(config).toMatchObject({ workDir: '/srv/vp/runs', registry: '/srv/vp/registry' });
  });
});

describe('a wrong value is CONFIG, and the message names the file or variable, the key and the allowed values', () => {
  const cases: [string, unknown, RegExp][] = [
    ['unknown key', { registri: 'x' }, /x\.json: registri is not a known key$/],
    ['unknown key below', { s3: { acl: 1 } }, /s3\.acl is not a known key$/],
    ['wrong type', { upload: { retries: '5' } }, /upload\.retries must be integer, not "5"/],
    [
      'not of the list',
      { snapshot: { mode: 'hot' } },
      /snapshot\.mode must be one of auto, live, cold, not "hot"/,
    ],
    [
      'list item',
      { snapshot: { hash: ['crc'] } },
      /snapshot\.hash\.0 must be one of md5, sha512, not "crc"/,
    ],
    ['group', { snapshot: 'live' }, /snapshot must be an object with mode, method/],
    ['null group', { timeouts: null }, /timeouts must be an object with libvirtMs/],
    ['out of range', { reserve: { fraction: 5 } }, /reserve\.fraction must be <= 1, not 5/],
    ['relative path', { workDir: 'runs' }, /workDir must be an absolute path, not "runs"/],
    ['no URL', { s3: { endpoint: 'ceph:80' } }, /s3\.endpoint must start with http/],
    [
      'no time',
      { timeouts: { freezeMs: 'soon' } },
      /x\.json: timeouts\.freezeMs must be milliseconds, or a time such as .*30s.*, not "soon"/,
    ],
    [
      'less than a cap has',
      { snapshot: { bandwidthMib: '512K' } },
      /bandwidthMib must be MiB, or .*, not "512K" \(less than 1 MiB\)/,
    ],
    ['no time at all', { timeouts: { freezeMs: '0s' } }, /timeouts\.freezeMs must be >= 1, not 0/],
    ['yes', { timeouts: { freezeMs: true } }, /must be milliseconds, or a time such as/],
    ['no object', [], /x\.json: the configuration must be an object with connect/],
    ['no JSON', '{', /x\.json: the configuration cannot be read: .*JSON/],
  ];
  for (const [name, values, message] of cases)
    it(name, async () => {
      await expect(loadConfig({ env, files: [write('x.json', values)] })).rejects.toMatchObject({
        code: 'CONFIG',
        message: expect.stringMatching(message),
      });
    });

  it('a missing --config file', async () => {
    await expect(loadConfig({ env, files: [join(folder, 'none.json')] })).rejects.toThrow(
      /none\.json: the configuration cannot be read: ENOENT/,
    );
  });

  it('variables: unknown, of a wrong type, not allowed', async () => {
    const load = (more: NodeJS.ProcessEnv) => loadConfig({ env: { ...env, ...more } });
    await expect(load({ VIRT_PUBLISH_FORMAT: 'raw' })).rejects.toThrow(
      /VIRT_PUBLISH_FORMAT is not a setting of virt-publish/,
    );
    await expect(load({ VIRT_PUBLISH_UPLOAD_RETRIES: 'many' })).rejects.toThrow(
      /VIRT_PUBLISH_UPLOAD_RETRIES: upload\.retries must be integer, not "many"/,
    );
    await expect(load({ VIRT_PUBLISH_SNAPSHOT_MODE: 'hot' })).rejects.toThrow(
      /VIRT_PUBLISH_SNAPSHOT_MODE: snapshot\.mode must be one of auto, live, cold/,
    );
    await expect(load({ VIRT_PUBLISH_LAB: 'x', VIRT_PUBLISH_REGISTRY: '' })).resolves.toBeDefined();
  });

  it('flags', async () => {
    const overrides = { upload: { concurrency: 0 } };
    await expect(loadConfig({ env, overrides })).rejects.toThrow(
      /the command line: upload\.concurrency must be >= 1, not 0/,
    );
  });
});

it('default.json has all defaults', async () => {
  const { stateDir, workDir, registry, ...values } = await loadConfig({ env });
  const file = readFileSync(new URL('../../../config/default.json', import.meta.url), 'utf8');
  const { stateDir: _s, workDir: _w, registry: _r, ...defaults } = JSON.parse(file);
  expect(values).toEqual(defaults);
  expect([stateDir, workDir, registry].every((path) => path.startsWith('/'))).toBe(true);
});

it('odd values of every key either pass or are CONFIG, naming the key', () => {
  const odd = [null, true, -1, 0.5, 1e300, Number.NaN, '', 'x', '/x', [], ['md5'], {}, { x: 1 }];
  const shapes = listSettings(readSchema()).flatMap(({ path }) =>
    odd.flatMap((value) => [
      path.reduceRight<unknown>((below, key) => ({ [key]: below }), value),
      path.slice(0, 1).reduceRight<unknown>((below, key) => ({ [key]: below }), value),
    ]),
  );
  const refused = [...shapes, ...odd, { constructor: {} }, { s3: { toString: 'x' } }].flatMap(
    (values) => {
      try {
        validateLayers([{ source: 'x.json', values }]);
        return [];
      } catch (error) {
        const isObject = typeof values === 'object' && !Array.isArray(values);
        const [key = 'the configuration'] = isObject ? Object.keys(values ?? {}) : [];
        return [{ error, key }];
      }
    },
  );
  expect(refused.length).toBeGreaterThan(500);
  expect(refused.length).toBeLessThan(shapes.length - 50);
  for (const { error, key } of refused)
    expect(error).toMatchObject({ code: 'CONFIG', message: expect.stringContaining(key) });
});

describe('a key of an earlier version is CONFIG, and the error names the new key', () => {
  const cases: [string, unknown, string, RegExp, RegExp][] = [
    [
      'VIRT_PUBLISH_SNAPSHOT_AT_ONCE',
      { snapshot: { atOnce: 1 } },
      'snapshot.atOnce',
      /is now snapshot\.maxConcurrent$/,
      /rename it to snapshot\.maxConcurrent, or VIRT_PUBLISH_SNAPSHOT_MAX_CONCURRENT/,
    ],
    [
      'VIRT_PUBLISH_TIMEOUTS_AT_ONCE_MS',
      { timeouts: { atOnceMs: '1m' } },
      'timeouts.atOnceMs',
      /is now timeouts\.slotWaitMs$/,
      /VIRT_PUBLISH_TIMEOUTS_SLOT_WAIT_MS/,
    ],
    [
      'VIRT_PUBLISH_CONVERT_NICE',
      { convert: { nice: 5 } },
      'convert',
      /is no longer a setting$/,
      /systemd-run or nice/,
    ],
    [
      'VIRT_PUBLISH_TIMEOUTS_POLL_MS',
      { timeouts: { pollMs: 5 } },
      'timeouts.pollMs',
      /is no longer a setting$/,
      /remove it/,
    ],
    [
      'VIRT_PUBLISH_RESERVE_POLL_MS',
      { reserve: { pollMs: 5 } },
      'reserve.pollMs',
      /is no longer a setting$/,
      /remove it/,
    ],
  ];
  it.each(cases)('%s, %j', async (variable, values, key, problem, hint) => {
    const inFile = loadConfig({ env, files: [write('x.json', values)] });
    await expect(inFile).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(problem),
      hint: expect.stringMatching(hint),
    });
    await expect(inFile).rejects.toThrow(`x.json: ${key} `);
    await expect(loadConfig({ env: { ...env, [variable]: '1' } })).rejects.toMatchObject({
      code: 'CONFIG',
      message: expect.stringMatching(new RegExp(`^${variable} ${problem.source}`)),
      hint: expect.stringMatching(hint),
    });
  });
});
