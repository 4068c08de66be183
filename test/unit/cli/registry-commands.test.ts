// list, show, pull, delete and alias on a directory registry, as a user runs them.
import { spawnSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdtempSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import stringWidth from 'string-width';
import { afterAll, beforeAll, describe, expect, it } from 'vitest';
import { openRegistry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';

const main = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'cli-registry-'));
const url = join(folder, 'registry');
const data = randomBytes(3_000_000);
let webId = '';
let dbId = '';

beforeAll(async () => {
  const file = join(folder, 'data');
  writeFileSync(file, data);
  webId = await publish(file, 'web', ['nginx', 'prod']);
  dbId = await publish(file, '東京 db', ['prod']);
});
afterAll(() => rmSync(folder, { recursive: true }));

async function publish(file: string, name: string, tags: string[]): Promise<string> {
  const registry = await openRegistry(url);
  const properties = { os_distro: 'debian' };
  const { id } = await registry.queueImage({ name, disk_format: 'raw', tags, properties });
  await registry.markSaving(id);
  const source = await fileSource(file);
  const { digests, size } = await registry.uploadData(id, 'vda.raw', source);
  const { sha256 } = digests;
  await registry.activateImage(id, { data: { name: 'vda.raw', size, sha256 } });
  return id;
}

function virtPublish(...args: string[]) {
  const env = {
    PATH: process.env.PATH,
    HOME: folder,
    VIRT_PUBLISH_STATE_DIR: join(folder, 'state'),
  };
  const all = [main, ...args, '--registry', url];
  const { status, stdout, stderr } = spawnSync(process.execPath, all, { env, maxBuffer: 1e8 });
  return { status, stdout: stdout.toString(), stderr: stderr.toString(), bytes: stdout };
}

describe('list', () => {
  it('`list` prints a table, the newest image first', () => {
    const { status, stdout, stderr } = virtPublish('list');
    expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
    const [titles, first, second] = stdout.split('\n');
    expect(titles).toMatch(/^ID +NAME +STATUS +FORMAT +SIZE +VIRTUAL +CREATED +ALIASES +TAGS$/);
    expect(first).toContain(`${dbId}  東京 db  active`);
    expect(second).toMatch(
      new RegExp(`^${webId}  web .* active  raw     2\\.86 MiB .*T.*Z +- +nginx, prod$`),
    );
  });

  it('filters', () => {
    const ids = (...args: string[]) =>
      JSON.parse(virtPublish('list', '--json', ...args).stdout).images.map(
        ({ id }: { id: string }) => id,
      );
    expect(ids('--name', 'web')).toEqual([webId]);
    expect(ids('--tag', 'prod')).toEqual([dbId, webId]);
    expect(ids('--tag', 'prod', '--tag', 'nginx')).toEqual([webId]);
    expect(ids('--status', 'killed')).toEqual([]);
  });
});

const NOBODY = 65_534;
const places = mkdtempSync(join(tmpdir(), 'cli-places-'));
afterAll(() => {
  spawnSync('umount', [join(places, 'full')]);
  rmSync(places, { recursive: true });
});

/** Places that a pull can be sent to, and fails at. The user is another one: root may write anywhere. */
function preparePlaces(): void {
  const script = `
    [ -e data ] && exit
    echo x > data; mkfifo fifo; mkdir full; mkdir -m 755 closed
    mount -t tmpfs -o size=64k,mode=777 tmpfs full; chown ${NOBODY} .
    chmod -R a+rX ${folder}; mkdir -m 777 ${folder}/nobody`;
  const { status, stderr } = spawnSync('bash', ['-ec', script], { cwd: places, encoding: 'utf8' });
  expect({ status, stderr }).toEqual({ status: 0, stderr: '' });
}

function virtPublishAs(uid: number, ...args: string[]) {
  const home = join(folder, 'nobody');
  const env = { PATH: process.env.PATH, HOME: home, VIRT_PUBLISH_STATE_DIR: join(home, 's') };
  const all = [main, ...args, '--registry', url];
  const options = { env, uid, cwd: places, encoding: 'utf8' } as const;
  return spawnSync(process.execPath, all, options);
}

/** Runs it on a terminal of that many columns. */
function onTerminal(columns: number, ...args: string[]): string {
  const line = [process.execPath, main, ...args, '--registry', url];
  const command = `stty cols ${columns}; ${line.map((word) => `'${word}'`).join(' ')}`;
  const env = { PATH: process.env.PATH, HOME: folder, TERM: 'dumb', TZ: 'Asia/Kolkata' };
  const { stdout } = spawnSync('script', ['-qec', command, '/dev/null'], { encoding: 'utf8', env });
  // biome-ignore lint/suspicious/noControlCharactersInRegex: escape sequences around the text
  return stdout.replace(/\r|\u001b\[[?\d;]*[a-z]/gi, '');
}

describe('list on a terminal', () => {
  it.each([60, 80, 120])(
    'of %d columns fits, and its ids are taken by every command',
    (columns) => {
      const lines = onTerminal(columns, 'list').trim().split('\n');
      expect(Math.max(...lines.map((line) => stringWidth(line)))).toBeLessThanOrEqual(columns);
      expect(lines[1]).toMatch(/ 東京 db .*\d\d:\d\d\+05:30/);
      const short = lines[1]?.split(' ')[0] ?? '';
      expect(short).toBe(dbId.slice(0, 8));
      expect(JSON.parse(virtPublish('show', short, '--json').stdout).image.id).toBe(dbId);
      const page = JSON.parse(virtPublish('list', '--json', '--marker', short).stdout);
      expect(page.images.map(({ id }: { id: string }) => id)).toEqual([webId]);
    },
  );

  it('`list` prints full ids with --wide, and the chosen columns with --columns', () => {
    expect(onTerminal(60, 'list', '--wide')).toBe(virtPublish('list').stdout);
    const chosen = onTerminal(60, 'list', '--columns', 'name,visibility').trim().split(/\s*\n/);
    expect(chosen).toEqual(['NAME     VISIBILITY', '東京 db  private', 'web      private']);
    expect(virtPublish('list', '--columns', 'colour').status).toBe(2);
    expect(virtPublish('list', '--columns', 'id', '--format', 'csv').status).toBe(2);
  });

  it('`list` reports on standard error the filter that no image passes', () => {
    const { status, stderr } = virtPublish('list', '--name', 'web', '--tag', 'php');
    expect(status).toBe(0);
    expect(stderr).toContain(`${url}: no image has the tag "php"\n`);
  });
});

describe('alias, show, pull, delete', () => {
  it('an alias is set and listed', () => {
    expect(virtPublish('alias', 'set', 'web/latest', webId).status).toBe(0);
    expect(virtPublish('alias', 'list').stdout).toMatch(
      new RegExp(`\nweb/latest  ${webId} +1  .*\n$`),
    );
  });

  it('`show` prints the record of an alias', () => {
    const { stdout } = virtPublish('show', 'web/latest');
    expect(stdout).toContain(`id                ${webId}\n`);
    expect(stdout).toContain('aliases           web/latest\n');
    expect(stdout).toContain('size              2.86 MiB (3000000 bytes)\n');
    expect(stdout).toMatch(/\n {2}os_distro +debian\n/);
    expect(JSON.parse(virtPublish('show', webId, '--json').stdout)).toMatchObject({
      ...{ type: 'result', image: { id: webId, name: 'web' }, aliases: ['web/latest'] },
    });
  });

  it('`pull` refuses an existing file unless --overwrite, and prints nothing on standard output', () => {
    const file = join(folder, 'pulled');
    expect(virtPublish('pull', 'web/latest', file)).toMatchObject({ status: 0, stdout: '' });
    expect(readFileSync(file).equals(data)).toBe(true);
    expect(virtPublish('pull', 'web/latest', file)).toMatchObject({
      ...{ status: 2, stderr: expect.stringContaining('replace it with --overwrite') },
    });
    expect(virtPublish('pull', 'web/latest', file, '--overwrite').status).toBe(0);
  });

  it.each([
    ['none/x', 2, 'the folder %/none does not exist; hint: make it, or name another path'],
    [
      'none/x --format qcow2',
      2,
      'the folder %/none does not exist; hint: make it, or name another path',
    ],
    ['data/x', 2, '%/data is no folder'],
    ['data/', 2, '%/data is not a directory, or lies below a file; name another directory'],
    ['fifo', 2, '%/fifo is a FIFO, and only a file can be replaced'],
    [`${'n'.repeat(300)}`, 2, 'cannot be written: ENAMETOOLONG'],
    ['full/x', 31, 'free some space, or name a file on a larger file system'],
    ['full/dir/', 31, 'free some space, or name a file on a larger file system'],
    [
      'closed/x',
      2,
      'this user may not write in %/closed; hint: get that right, or name another path',
    ],
  ])('pull to %s is exit %d, with one error', (path, exitCode, message) => {
    preparePlaces();
    const ran = virtPublishAs(NOBODY, 'pull', webId, ...path.split(' '));
    expect({ status: ran.status, stdout: ran.stdout }).toEqual({ status: exitCode, stdout: '' });
    const errors = ran.stderr.split('\n').filter((line) => !/^(\d\d:|$)/.test(line));
    expect(errors.map((line) => line.split(':')[0])).toEqual(['virt-publish', 'hint']);
    const shown = errors.join('; ');
    for (const part of message.split('; ')) expect(shown).toContain(part.replace('%', places));
  });

  it('`pull -` writes to standard output, and leaves nothing in the work directory', () => {
    const { status, bytes } = virtPublish('pull', 'web/latest', '-');
    expect(status).toBe(0);
    expect(bytes.equals(data)).toBe(true);
    expect(readdirSync(join(folder, 'state/runs'))).toEqual([]);
    expect(virtPublish('pull', 'web/latest', '-', '--json')).toMatchObject({ status: 2 });
  });

  it('an unknown image exits 40, also with --json', () => {
    const { status, stdout, stderr } = virtPublish('show', 'nothing');
    expect({ status, stdout }).toEqual({ status: 40, stdout: '' });
    expect(stderr).toMatch(/^virt-publish: .*nothing/);
    expect(stderr).toContain('hint: list the images with: virt-publish list');
    expect(virtPublish('show', 'wbe').stderr).toContain('did you mean "web"?');
    expect(virtPublish('show', 'web/last').stderr).toContain('"web/latest"');
    expect(virtPublish('alias', 'log', 'web/lates').stderr).toContain('did you mean "web/latest"?');
    const reported = JSON.parse(virtPublish('show', 'nothing', '--json').stdout);
    expect(reported).toMatchObject({ type: 'error', code: 'IMAGE_NOT_FOUND', exitCode: 40 });
  });

  it('`delete` refuses an image with an alias unless --force', () => {
    const refused = virtPublish('delete', webId);
    expect(refused.status).toBe(40);
    expect(refused.stderr).toContain('virt-publish alias set web/latest IMAGE), or delete the');
    expect(refused.stderr).toContain('with --force');
    virtPublish('update', dbId, '--protected');
    expect(virtPublish('delete', dbId).stderr).toContain(
      `virt-publish update ${dbId} --unprotected`,
    );
    virtPublish('update', dbId, '--unprotected');
    expect(virtPublish('update', webId, '--tag', 'x', '--untag', 'x').stderr).toContain(
      'leave --tag or --untag out',
    );
    virtPublish('deactivate', webId);
    const inactive = virtPublish('pull', webId, join(folder, 'never'));
    expect(inactive.stderr).toContain(`virt-publish reactivate ${webId}`);
    virtPublish('reactivate', webId);
    expect(virtPublish('url', webId).stderr).toContain(`virt-publish pull ${webId}`);
    const { status, stdout, stderr } = virtPublish('delete', webId, '--force');
    expect({ status, stdout }).toEqual({ status: 0, stdout: '' });
    expect(stderr).toContain(`deleted ${webId} (web)`);
    expect(virtPublish('list').stdout).not.toContain(webId);
  });

  it('`delete` deletes every image that it can, and reports the others', async () => {
    const file = join(folder, 'data');
    const ids = [await publish(file, 'a', []), await publish(file, 'b', [])];
    const { status, stdout, stderr } = virtPublish(
      'delete',
      'a',
      'nothing',
      ids[1] ?? '',
      '--json',
    );
    expect({ status, stderr }).toEqual({ status: 40, stderr: '' });
    expect(JSON.parse(stdout.trim().split('\n').at(-1) ?? '')).toMatchObject({
      ...{ type: 'error', code: 'IMAGE_NOT_FOUND', deleted: ids },
      message: expect.stringMatching(/^1 of 3 images are not deleted: there is no image "nothing"/),
    });
    expect(virtPublish('delete').stderr).toContain("missing required argument 'images'");
  });
});
