// Parses the output of qemu-img, captured from 7.2.22.
import { describe, expect, it } from 'vitest';
import { qemuImgFailure } from '#built/qemu/qemu-img-failure.js';
import {
  mapReader,
  parseCheck,
  parseInfo,
  parseVersion,
  progressReader,
} from '#built/qemu/qemu-img-output.js';

const INFO = `{ "backing-filename-format": "qcow2", "virtual-size": 67108864, "filename": "t.qcow2",
  "cluster-size": 65536, "format": "qcow2", "actual-size": 1314816,
  "snapshots": [{ "icount": 0, "vm-clock-nsec": 0, "name": "s1", "date-sec": 1700000000,
    "date-nsec": 0, "vm-clock-sec": 0, "id": "1", "vm-state-size": 0 }],
  "format-specific": { "type": "qcow2", "data": { "compat": "1.1", "compression-type": "zlib",
    "lazy-refcounts": false, "refcount-bits": 16, "corrupt": false, "extended-l2": false } },
  "full-backing-filename": "/lab/b.qcow2", "backing-filename": "b.qcow2", "dirty-flag": false }`;

describe('parseInfo', () => {
  it('reads a qcow2 overlay', () => {
    expect(parseInfo(INFO)).toEqual({
      format: 'qcow2',
      virtualSize: 67108864,
      actualSize: 1314816,
      clusterSize: 65536,
      backingFile: 'b.qcow2',
      fullBackingFile: '/lab/b.qcow2',
      backingFormat: 'qcow2',
      dataFile: null,
      encrypted: false,
      dirty: false,
      corrupt: false,
      lazyRefcounts: false,
      compressionType: 'zlib',
      compat: '1.1',
      subformat: null,
      snapshots: [{ id: '1', name: 's1', vmStateSize: 0, date: '2023-11-14T22:13:20.000Z' }],
    });
  });

  it('throws QEMU_IMG on any other output', () => {
    for (const output of ['', '[]', 'null', '{"format": "raw"}'])
      expect(() => parseInfo(output)).toThrow(expect.objectContaining({ code: 'QEMU_IMG' }));
  });
});

it('parseCheck takes the state from the exit code', () => {
  expect(parseCheck(0, '{}')).toEqual({ state: 'clean', leaks: 0, corruptions: 0 });
  expect(parseCheck(3, '{"leaks": 4}')).toEqual({ state: 'leaks', leaks: 4, corruptions: 0 });
  expect(parseCheck(2, '{"corruptions": 1}').state).toBe('corrupt');
});

it('mapReader reads extents without `present` and `compressed`, split anywhere', () => {
  const zeros = '[{ "start": 0, "length": 512, "depth": 1, "zero": true, "data": false},\n';
  const data =
    '{ "start": 512, "length": 9, "depth": 0, "zero": false, "data": true, "offset": 7}]\n';
  const extents: unknown[] = [];
  const read = mapReader((extent) => extents.push(extent));
  for (const piece of (zeros + data).match(/.{1,7}|\n/g) ?? []) read(piece);
  expect(extents).toEqual([
    {
      ...{ start: 0, length: 512, depth: 1, present: false, zero: true, data: false },
      ...{ compressed: false, offset: null },
    },
    {
      ...{ start: 512, length: 9, depth: 0, present: true, zero: false, data: true },
      ...{ compressed: false, offset: 7 },
    },
  ]);
});

it('parseVersion returns only the number', () => {
  expect(parseVersion('qemu-img version 7.2.22 (Debian 1:7.2+dfsg-7+deb12u18+b3)\nC')).toBe(
    '7.2.22',
  );
  expect(() => parseVersion('BusyBox')).toThrow(/has no version number/);
});

describe('progressReader', () => {
  it('returns the newest percentage of each piece', () => {
    const read = progressReader();
    expect(read('    (0.00/100%)\r    (12.50/100%)\r')).toBe(12.5);
    expect(read('nothing')).toBeNull();
  });

  it('joins a number that was split between two pieces', () => {
    const read = progressReader();
    expect(read('    (0.00/100%)\r    (33.')).toBe(0);
    expect(read('33/100%)\r')).toBe(33.33);
  });
});

describe('qemuImgFailure', () => {
  const subject = { command: 'convert', path: '/d', step: 'convert' as const, timeoutMs: 90_000 };
  const ended = (more: object) =>
    qemuImgFailure(subject, {
      ...{ exitCode: 1, killedBy: undefined, timedOut: false, spawnCode: undefined, stderr: '' },
      ...more,
    });

  it('returns NO_SPACE for each message of a full file system, else QEMU_IMG', () => {
    const stderr = 'qemu-img: error while writing at byte 1: No space left on device\n';
    expect(ended({ stderr }).code).toBe('NO_SPACE');
    expect(ended({ stderr: 'x: Disk quota exceeded' }).code).toBe('NO_SPACE');
    expect(ended({ stderr: 'qemu-img: x: Image is not in qcow2 format' })).toMatchObject({
      code: 'QEMU_IMG',
      step: 'convert',
      message: 'qemu-img convert on /d failed: x: Image is not in qcow2 format',
    });
  });

  it('has a hint if qemu-img was killed, too slow, missing or locked out', () => {
    expect(ended({ killedBy: 'SIGKILL' })).toMatchObject({
      message: 'qemu-img convert on /d was killed by SIGKILL',
      hint: expect.stringMatching(/kernel log/),
    });
    expect(ended({ timedOut: true, killedBy: 'SIGTERM' }).message).toMatch(/after 90 s/);
    expect(ended({ spawnCode: 'ENOENT' }).hint).toMatch(/install the package qemu-utils/);
    const stderr = 'Failed to get shared "write" lock\nIs another process using the image [t]?\n';
    expect(ended({ stderr })).toMatchObject({
      message: expect.stringMatching(/lock; another process has the file open/),
      hint: 'wait for that process, or stop it',
    });
  });
});
