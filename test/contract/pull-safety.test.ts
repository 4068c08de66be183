// What `pull` never hands out, replaces or writes through, in folders that other users may write to.
import { execFileSync } from 'node:child_process';
import { randomBytes } from 'node:crypto';
import { mkdirSync, renameSync, symlinkSync } from 'node:fs';
import {
  chown,
  link,
  lstat,
  mkdir,
  readdir,
  readFile,
  rename,
  symlink,
  writeFile,
} from 'node:fs/promises';
import { createServer } from 'node:net';
import { join } from 'node:path';
import { beforeEach, describe, expect, test } from 'vitest';
import { loadConfig } from '#built/config/config.js';
import type { DiskFormat } from '#built/core/model.js';
import { pullAs } from '#built/operations/pull/pull-as.js';
import type { ImageRecord } from '#built/registry/record/image.js';
import { openRegistry, type Registry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { runCli } from '../support/cli.ts';
import { HOSTILE_IMAGES, qcow2 } from '../support/hostile-images.ts';
import { scratchFolder } from './places.ts';

const OTHER_USER = 12_345;

let folder: string;
let registry: Registry;
let victim: string;
beforeEach(async () => {
  folder = join(await scratchFolder(), 'target');
  await mkdir(folder);
  registry = await openRegistry(join(await scratchFolder(), 'registry'));
  victim = join(await scratchFolder(), 'victim');
  await writeFile(victim, "root's own", { mode: 0o600 });
});

/** An active image with these bytes, as any client that may write to the registry can make one. */
async function publish(bytes: Uint8Array, disk_format: DiskFormat): Promise<ImageRecord> {
  const { id } = await registry.queueImage({ name: 'image', disk_format });
  await registry.markSaving(id);
  const from = join(await scratchFolder(), 'data');
  await writeFile(from, bytes);
  const name = `vda.${disk_format}`;
  const { digests, size } = await registry.uploadData(id, name, await fileSource(from));
  const artefact = await registry.putArtefact(id, 'nvram.fd', bytes);
  const data = { name, size, sha256: digests.sha256 };
  return registry.activateImage(id, { data, artefacts: [artefact] });
}

function hostile(name: RegExp): Buffer {
  const found = HOSTILE_IMAGES.find((each) => name.test(each.name));
  if (found === undefined) throw new Error(`there is no such trick: ${name}`);
  return found.bytes;
}

describe('an image that leads to another file', () => {
  test.each([
    ['qcow2', /^qcow2 with a backing file/],
    ['qcow2', /^qcow2 with a json: backing file/],
    ['qcow2', /^qcow2 with an external data file/],
    ['qcow2', /^qcow2 with unknown features/],
    ['qcow2', /^qcow2 with a GPT/],
    ['qcow2', /^sparse VMDK whose extent has a path/],
    ['vmdk', /^sparse VMDK without capacity/],
    ['vmdk', /^sparse VMDK with a second, flat extent/],
    ['vmdk', /^VMDK descriptor with a flat extent/],
    ['vmdk', /^sparse VMDK with a parent/],
    ['vdi', /^VDI, cut/],
    ['vhdx', /^VHDX, cut/],
    ['raw', /^qcow2 with a backing file/],
    ['raw', /^qcow2 with an external data file/],
    ['raw', /^VMDK descriptor with a flat extent/],
    ['raw', /^QED/],
  ] as const)('is not pulled: a record that says %s, and %s', async (format, name) => {
    const image = await publish(hostile(name), format);
    const refused = { code: 'IMAGE_REFUSED', message: expect.stringContaining('no file was') };
    const file = join(folder, 'pulled');
    await expect(registry.pullImage(image.id, file)).rejects.toMatchObject(refused);
    expect(await readdir(folder)).toEqual([]);
  });

  test.each(['-', 'dir/', 'dir/ --disk vda', 'x.raw --format raw', ''])(
    'is given out in no form of the command: pull IMAGE %s',
    async (form) => {
      const args = form.split(' ').filter((each) => each !== '');
      const { id } = await publish(hostile(/^qcow2 with a backing file/), 'qcow2');
      const env = { VIRT_PUBLISH_REGISTRY: registry.url };
      const ran = await runCli(['pull', id, ...args], { env });
      expect(ran).toMatchObject({ exitCode: 45, stdout: '' });
      expect(ran.stderr).toContain('has a backing file');
    },
  );

  test('is not pulled as an artefact', async () => {
    const image = await publish(hostile(/^qcow2 with a backing file/), 'raw');
    const pull = registry.pullImage(image.id, join(folder, 'nvram.fd'), { artefact: 'nvram.fd' });
    await expect(pull).rejects.toMatchObject({ code: 'IMAGE_REFUSED' });
    expect(await readdir(folder)).toEqual([]);
  });

  test.each([
    ['a flat qcow2', qcow2(), 'qcow2'],
    ['a qcow2 whose last sector is a VHD footer of the guest', hostile(/footer of a VHD/), 'qcow2'],
    ['a raw disk that the guest encrypted', hostile(/^LUKS/), 'raw'],
    ['a raw disk that holds a flat qcow2', qcow2(), 'raw'],
    ['an empty raw disk', Buffer.alloc(0), 'raw'],
  ] as const)('is not %s, which is pulled', async (_what, bytes, format) => {
    const image = await publish(bytes, format);
    await registry.pullImage(image.id, join(folder, 'pulled'));
    expect(Buffer.compare(await readFile(join(folder, 'pulled')), bytes)).toBe(0);
  });
});

describe('a target that is no file', () => {
  const MAKE: Record<string, (path: string) => Promise<unknown> | unknown> = {
    'a FIFO': (path) => execFileSync('mkfifo', [path]),
    'a character device': (path) => execFileSync('mknod', [path, 'c', '1', '3']),
    'a block device': (path) => execFileSync('mknod', [path, 'b', '7', '200']),
    'a directory': (path) => mkdir(path),
    'a symbolic link': (path) => symlink(victim, path),
    'a symbolic link without a target': (path) => symlink(join(folder, 'missing'), path),
    'a socket': (path) =>
      new Promise<void>((resolve) => {
        const server = createServer().listen(path, () => resolve());
        server.unref();
      }),
  };

  test.each(Object.keys(MAKE))('is not changed with and without --overwrite: %s', async (kind) => {
    const { id } = await publish(qcow2(), 'qcow2');
    const file = join(folder, 'target');
    await MAKE[kind]?.(file);
    const { ino, mode } = await lstat(file);
    for (const overwrite of [false, true]) {
      for (const artefact of [undefined, 'nvram.fd']) {
        const options = { overwrite, ...(artefact === undefined ? {} : { artefact }) };
        await expect(registry.pullImage(id, file, options)).rejects.toMatchObject({
          code: 'USAGE',
          message: expect.stringMatching(
            new RegExp(`is ${kind.split(' without')[0]}, and only a file`),
          ),
        });
      }
    }
    expect(await lstat(file)).toMatchObject({ ino, mode });
    expect(await readdir(folder)).toEqual(['target']);
    expect(await readFile(victim, 'utf8')).toBe("root's own");
  });

  test('a device is refused with a hint how to write to it', async () => {
    const { id } = await publish(qcow2(), 'qcow2');
    const file = join(folder, 'target');
    execFileSync('mknod', [file, 'b', '7', '200']);
    await expect(registry.pullImage(id, file, { overwrite: true })).rejects.toMatchObject({
      hint: expect.stringContaining(`virt-publish pull IMAGE - | dd of=${file}`),
    });
  });
});

describe('a folder that another user may write to', () => {
  const PLANT: Record<string, (path: string) => Promise<unknown> | unknown> = {
    'a symbolic link': (path) => symlink(victim, path),
    'a hard link': (path) => link(victim, path),
    'a FIFO': (path) => execFileSync('mkfifo', [path]),
    'a directory': (path) => mkdir(path),
    'a file of his': async (path) => {
      await writeFile(path, 'his');
      await chown(path, OTHER_USER, OTHER_USER);
    },
    'a file that he may write to': (path) => {
      execFileSync('sh', ['-c', 'umask 0; : > "$1"; chmod 666 "$1"', 'sh', path]);
    },
  };
  const NAMES = ['image.partial', 'image.partial.ranges'];

  test.each(NAMES.flatMap((name) => Object.keys(PLANT).map((what) => [name, what] as const)))(
    'has planted %s as %s: it is refused at once, and nothing is written through it',
    async (name, what) => {
      const { id } = await publish(qcow2(), 'qcow2');
      await PLANT[what]?.(join(folder, name));
      await expect(registry.pullImage(id, join(folder, 'image'))).rejects.toMatchObject({
        code: 'USAGE',
        message: expect.stringContaining(`${name} `),
      });
      expect(await readdir(folder)).toEqual([name]);
      expect(await readFile(victim, 'utf8')).toBe("root's own");
    },
  );

  test('has the partial file swapped for a link while it is filled: the link is not named', async () => {
    const bytes = randomBytes(8 * 1024 * 1024);
    const { id } = await publish(bytes, 'raw');
    const file = join(folder, 'image');
    let swaps: Promise<unknown> | undefined;
    const swap = async () => {
      await symlink(victim, join(folder, 'link'));
      await rename(join(folder, 'link'), `${file}.partial`);
    };
    const onProgress = () => {
      swaps ??= swap();
    };
    await expect(registry.pullImage(id, file, { onProgress })).rejects.toMatchObject({
      code: 'INTEGRITY',
      message: expect.stringContaining('another user replaced'),
    });
    await swaps;
    expect(await readFile(victim, 'utf8')).toBe("root's own");
    await expect(lstat(file)).rejects.toMatchObject({ code: 'ENOENT' });
  });

  async function convert(onStep: (step: string) => void): Promise<void> {
    const { id } = await publish(qcow2(), 'qcow2');
    await pullAs(registry, await registry.getImage(id), {
      ...{ file: join(folder, 'image'), format: 'raw', overwrite: false },
      config: await loadConfig(),
      signal: new AbortController().signal,
      onEvent: (event) => {
        if (event.type === 'step' && event.state === 'started') onStep(event.step);
      },
    });
  }

  test.each(['a symbolic link', 'a file of his', 'a FIFO'])(
    'has planted the folder of a conversion as %s: it is refused',
    async (what) => {
      await PLANT[what]?.(join(folder, 'image.converting'));
      await expect(convert(() => undefined)).rejects.toMatchObject({ code: 'USAGE' });
      expect(await readdir(folder)).toEqual(['image.converting']);
      expect(await readFile(victim, 'utf8')).toBe("root's own");
    },
  );

  test('has planted a folder of his own for a conversion: it is refused', async () => {
    await mkdir(join(folder, 'image.converting'), { mode: 0o700 });
    await chown(join(folder, 'image.converting'), OTHER_USER, OTHER_USER);
    await expect(convert(() => undefined)).rejects.toMatchObject({ code: 'USAGE' });
    expect(await readdir(join(folder, 'image.converting'))).toEqual([]);
  });

  test('has the folder of a conversion swapped for one with a link: nothing is written through it', async () => {
    const steps: string[] = [];
    await convert((step) => {
      steps.push(step);
      if (step !== 'convert') return;
      renameSync(join(folder, 'image.converting'), join(folder, 'away'));
      mkdirSync(join(folder, 'image.converting'));
      symlinkSync(victim, join(folder, 'image.converting', 'converted'));
    });
    expect(steps).toContain('convert');
    expect((await lstat(join(folder, 'image'))).isFile()).toBe(true);
    expect(await readFile(victim, 'utf8')).toBe("root's own");
  });
});
