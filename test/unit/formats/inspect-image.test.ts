// The look at an untrusted image's bytes: every known trick is refused, by name.
import { describe, expect, it } from 'vitest';
import { bytesOf } from '#built/formats/image-bytes.js';
import { inspectImage } from '#built/formats/inspect-image.js';
import { HOSTILE_IMAGES, PACKED_FILES, qcow2, vmdk } from '../../support/hostile-images.ts';

const limits = { maxVirtualBytes: 16 * 1024 ** 4 };

describe('refuses', () => {
  it.each(HOSTILE_IMAGES.map((image) => [image.name, image] as const))('%s', async (_, image) => {
    await expect(inspectImage(bytesOf(image.bytes), limits)).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
      message: expect.stringMatching(image.message),
    });
  });

  it('a header cut at any byte, with IMAGE_REFUSED', async () => {
    for (const whole of [qcow2(), vmdk()]) {
      for (let length = 8; length < 1024; length += 7) {
        await expect(
          inspectImage(bytesOf(whole.subarray(0, length)), limits),
        ).rejects.toMatchObject({
          code: 'IMAGE_REFUSED',
        });
      }
    }
  });

  it('headers of random bytes, with IMAGE_REFUSED or a result', async () => {
    let seed = 1;
    const next = () => {
      seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
      return seed;
    };
    for (let round = 0; round < 500; round += 1) {
      const image = Buffer.from(round % 2 === 0 ? qcow2() : vmdk());
      for (let change = 0; change < 4; change += 1) {
        image.writeUInt8((next() >>> 16) & 255, 4 + ((next() >>> 8) % 140));
      }
      const seen = await inspectImage(bytesOf(image), limits).catch((error: unknown) => error);
      if (seen instanceof Error) expect(seen).toMatchObject({ code: 'IMAGE_REFUSED' });
      else expect(seen).toMatchObject({ virtualSize: expect.any(Number) });
    }
  });

  it.each(PACKED_FILES)('a file packed with %s', async (name, bytes) => {
    await expect(inspectImage(bytesOf(bytes), limits)).rejects.toMatchObject({
      code: 'IMAGE_REFUSED',
      message: expect.stringContaining(`is ${name}`),
    });
  });

  it('an image of another format than --format says', async () => {
    const options = { ...limits, expected: 'raw' as const };
    await expect(inspectImage(bytesOf(qcow2()), options)).rejects.toMatchObject({ code: 'USAGE' });
  });
});

describe('takes', () => {
  it('a plain qcow2, of version 2 and 3', async () => {
    const image = { format: 'qcow2', virtualSize: 1024 * 1024 };
    expect(await inspectImage(bytesOf(qcow2()), limits)).toEqual(image);
    expect(await inspectImage(bytesOf(qcow2({ version: 2 })), limits)).toEqual(image);
  });

  it('a plain sparse VMDK', async () => {
    expect(await inspectImage(bytesOf(vmdk()), limits)).toEqual({
      format: 'vmdk',
      virtualSize: 1024 * 1024,
    });
  });

  it('a raw disk, also with a partition table and a GPT on it', async () => {
    const disk = Buffer.alloc(1024 * 1024, 'x');
    const image = { format: 'raw', virtualSize: disk.byteLength };
    expect(await inspectImage(bytesOf(disk), limits)).toEqual(image);
    disk.write('\x55\xaaEFI PART', 510, 'latin1');
    expect(await inspectImage(bytesOf(disk), limits)).toEqual(image);
  });

  it('an ISO as iso, hybrid and UDF ones too, unless --format raw is given', async () => {
    for (const mark of ['CD001', 'BEA01']) {
      const disk = Buffer.alloc(1024 * 1024, 'x');
      disk.write(mark, 0x8001, 'latin1');
      const image = { format: 'iso', virtualSize: disk.byteLength };
      expect(await inspectImage(bytesOf(disk), limits)).toEqual(image);
      disk.write('\x55\xaaEFI PART', 510, 'latin1');
      expect(await inspectImage(bytesOf(disk), limits)).toEqual(image);
      const raw = { ...limits, expected: 'raw' as const };
      expect(await inspectImage(bytesOf(disk), raw)).toEqual({ ...image, format: 'raw' });
    }
  });

  it('a text as a raw disk only with --format raw', async () => {
    const page = bytesOf(Buffer.from('\n<!DOCTYPE html><title>404</title>'));
    await expect(inspectImage(page, limits)).rejects.toThrow(/an HTML page/);
    const raw = { ...limits, expected: 'raw' as const };
    expect(await inspectImage(page, raw)).toMatchObject({ format: 'raw' });
  });

  it('a disk whose first bytes look like a packed file', async () => {
    for (const start of [
      Buffer.from('5d00008000', 'hex'),
      Buffer.from('1f9d00', 'hex'),
      Buffer.from('502a4d1804000000', 'hex'),
      Buffer.from('name of a tar\0'),
    ]) {
      const disk = Buffer.alloc(4096, 'x');
      start.copy(disk);
      expect(await inspectImage(bytesOf(disk), limits)).toMatchObject({ format: 'raw' });
    }
  });
});
