// Validation: wrong input is USAGE, a wrong stored record is a named problem, and nothing crashes.

import { readFileSync } from 'node:fs';
import { describe, expect, test } from 'vitest';
import { DISK_FORMATS, VISIBILITIES } from '#built/core/model.js';
import { assertRecord, examineRecord } from '#built/registry/record/check-record.js';
import { IMAGE_STATUSES } from '#built/registry/record/image.js';
import { assertAlias, assertObjectName } from '#built/registry/record/names.js';
import { OBJECT_FIELDS, RECORD_FIELDS } from '#built/registry/record/pick-fields.js';
import { activeRecord } from './record.ts';

const object = { name: 'vda.qcow2', size: 10, sha256: 'a'.repeat(64) };

const disk = {
  ...object,
  ...{ target: 'vda', boot_index: 0, bus: 'virtio', disk_format: 'qcow2', virtual_size: 1024 },
};

/** What is wrong, and a word of the message that names it. */
const WRONG: [string, Record<string, unknown>, string][] = [
  ['an id that is none', { id: '../../etc' }, 'id is'],
  ['version 0', { version: 0 }, 'version'],
  ['a version that is text', { version: '3' }, 'version'],
  ['an empty name', { name: '' }, 'name'],
  ['a name of 256 characters', { name: 'x'.repeat(256) }, 'name'],
  ['a name with an escape', { name: 'a\u001b[2J' }, 'name'],
  ['an unknown status', { status: 'pending' }, 'status'],
  ['a status of the prototype', { status: 'constructor' }, 'status'],
  ['an unknown visibility', { visibility: 'secret' }, 'visibility'],
  ['protected as text', { protected: 'yes' }, 'protected'],
  ['tags that are no list', { tags: 'nginx' }, 'tags is "nginx", not list'],
  ['an empty tag', { tags: [''] }, 'tags[0] is ""'],
  ['a tag of 256 characters', { tags: ['t'.repeat(256)] }, 'tags[0] is "ttt'],
  ['a tag twice', { tags: ['a', 'b', 'a'] }, 'tags has "a" twice'],
  ['a tag that is a number', { tags: [1] }, 'tags[0] is 1, not string'],
  ['an unknown format', { disk_format: 'floppy' }, 'disk_format'],
  ['another container', { container_format: 'ova' }, 'container_format'],
  ['a negative size', { size: -1 }, 'size'],
  ['a size that is no number', { virtual_size: 'big' }, 'virtual_size'],
  ['a checksum that is no hex', { checksum: 'zz' }, 'checksum'],
  ['an unknown digest', { os_hash_algo: 'crc32' }, 'os_hash_algo'],
  ['a time that is none', { created_at: 'yesterday' }, 'created_at'],
  ['a time without a zone', { updated_at: '2026-01-02T03:04:05' }, 'updated_at'],
  ['active without data', { data: null }, 'no data'],
  ['another size than its data', { size: 11 }, 'size and data.size differ: 11 and'],
  ['data in another folder', { data: { ...object, name: '../x/vda.qcow2' } }, 'data.name is'],
  [
    'data in the folder of records',
    { data: { ...object, name: 'record' } },
    'data.name is "record"',
  ],
  ['data with a hidden name', { data: { ...object, name: '.uploads' } }, 'data.name is'],
  ['a short sha256', { data: { ...object, sha256: 'abc' } }, 'data.sha256 is "abc"'],
  ['an artefact that is null', { artefacts: [null] }, 'artefacts[0] is null, not object'],
  ['disks that are no list', { disks: {} }, 'disks is'],
  ['no disk in its list', { disks: [] }, 'disks is a list'],
  ['another root disk than its data', { disks: [{ ...disk, size: 11 }] }, 'differ'],
  ['two disks of one target', { disks: [disk, { ...disk, name: 'b' }] }, 'same target'],
  ['two disks of one object', { disks: [disk, { ...disk, target: 'b' }] }, 'same name'],
  [
    'a disk with a path for a target',
    { disks: [{ ...disk, target: '../x' }] },
    'disks[0].target is "../x"',
  ],
  [
    'a disk of an unknown format',
    { disks: [{ ...disk, disk_format: 'floppy' }] },
    'disks[0].disk_format is "floppy"',
  ],
  [
    'a disk without a size',
    { disks: [{ ...disk, virtual_size: null }] },
    'disks[0].virtual_size is null',
  ],
  ['a disk that is null', { disks: [null] }, 'disks[0] is null, not object'],
  ['properties that are a list', { properties: [] }, 'properties'],
  ['a property that is a number', { properties: { a: 1 } }, 'properties.a is 1, not string'],
  [
    'a property without a key',
    { properties: { '': 'x' } },
    'a key of properties is not allowed: ""',
  ],
  [
    'a property named as a field',
    { properties: { status: 'active' } },
    'a key of properties is the name of a field of the record: "status"',
  ],
  ['a property __proto__', { properties: JSON.parse('{"__proto__": "x"}') }, '"__proto__"'],
  ['a property of 64 KiB', { properties: { a: 'x'.repeat(65_536) } }, 'properties.a is "xxx'],
];

describe('a record', () => {
  test('that is valid is read and written unchanged', () => {
    const record = activeRecord();
    expect(examineRecord(JSON.parse(JSON.stringify(record)))).toEqual({ record });
    expect(assertRecord(record)).toEqual(record);
    const several = { ...record, disks: [disk, { ...disk, name: 'vdb.qcow2', target: 'vdb' }] };
    expect(examineRecord(structuredClone(several))).toEqual({ record: several });
  });

  test('may have unknown fields', () => {
    const later = { ...activeRecord(), write_id: 'x', os_new_field: [1] };
    expect(examineRecord(later)).toEqual({ record: activeRecord() });
  });

  test('loses unknown fields of its objects, and fields that nest deep', () => {
    const deep = JSON.parse(`${'['.repeat(20_000)}${']'.repeat(20_000)}`);
    const record = activeRecord();
    const odd = { ...record, deep, data: { ...object, deep }, artefacts: [{ ...object, deep }] };
    expect(examineRecord(odd)).toEqual({
      record: { ...record, data: object, artefacts: [object] },
    });
    for (const field of Object.keys(record))
      expect(examineRecord({ ...record, [field]: deep })).toHaveProperty('problem');
    const mapping = `[{"snapshot_id":${'['.repeat(20_000)}${']'.repeat(20_000)}}]`;
    const volumes = {
      ...record,
      data: null,
      size: 0,
      properties: { block_device_mapping: mapping },
    };
    expect(examineRecord(volumes)).toHaveProperty('record');
  });

  test('with a hundred thousand tags is checked in linear time', () => {
    const tags = Array.from({ length: 100_000 }, (_, n) => `t${n}`);
    expect(examineRecord({ ...activeRecord(), tags })).toHaveProperty('record');
  });

  test.each(WRONG)('with %s is refused both ways', (_what, changes, word) => {
    const record = { ...activeRecord(), ...changes };
    expect(examineRecord(record)).toEqual({ problem: expect.stringContaining(word) });
    expect(() => assertRecord(record as never)).toThrow(
      expect.objectContaining({ code: 'USAGE', message: expect.stringContaining(word) }),
    );
  });

  test.each(Object.keys(activeRecord()))('without %s is refused by its name', (field) => {
    const { [field]: _, ...rest } = activeRecord() as unknown as Record<string, unknown>;
    expect(examineRecord(rest)).toEqual({ problem: `${field} is missing` });
  });

  test.each([null, undefined, 1, 'text', [], [activeRecord()]])(
    'that is %j is refused',
    (value) => {
      expect(examineRecord(value)).toEqual({ problem: 'it is not a JSON object' });
    },
  );
});

describe('the schema of records', () => {
  const schema = JSON.parse(
    readFileSync(new URL('../../../config/schemas/record.json', import.meta.url), 'utf8'),
  );
  const { properties } = schema;

  test('has the fields, statuses, formats and visibilities of the code', () => {
    expect(schema.required).toEqual(RECORD_FIELDS);
    expect(Object.keys(properties).sort()).toEqual(
      [...RECORD_FIELDS, 'disks', 'format_version'].sort(),
    );
    expect(properties.properties.propertyNames.not.enum).toEqual(['__proto__', ...RECORD_FIELDS]);
    expect(properties.status.enum).toEqual(IMAGE_STATUSES);
    expect(properties.visibility.enum).toEqual(VISIBILITIES);
    expect(schema.definitions.diskFormat.enum).toEqual(DISK_FORMATS);
    expect(
      Object.keys(properties.disks.items.properties)
        .concat('name', 'size', 'sha256', 'etag')
        .sort(),
    ).toEqual([...OBJECT_FIELDS].sort());
  });

  test('accepts no time that JavaScript cannot read', () => {
    const pattern = new RegExp(schema.definitions.time.pattern);
    const two = (n: number) => String(n).padStart(2, '0');
    for (let month = 0; month < 14; month += 1)
      for (let day = 0; day < 33; day += 1) {
        const time = `2026-${two(month)}-${two(day)}T23:59:59.123456789Z`;
        expect(pattern.test(time) && Number.isNaN(Date.parse(time)), time).toBe(false);
      }
  });
});

describe('an alias', () => {
  test.each(['web', 'web/latest', 'a', '1', 'Team_A/web-1.2/stable', '2026'])(
    '%s is right',
    (alias) => {
      expect(() => assertAlias(alias)).not.toThrow();
    },
  );

  test.each([
    '',
    '/',
    'web/',
    '/web',
    'a//b',
    '.',
    '..',
    'a/../b',
    '.hidden',
    'a b',
    'ä',
    'a\\b',
    'a\nb',
    'web/00000001.json',
    'x'.repeat(256),
  ])('%j is refused', (alias) => {
    expect(() => assertAlias(alias)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  });
});

test.each(['', 'record', '../x', 'a/b', '.x', 'a b', 'x'.repeat(256)])(
  '%j cannot be the name of an object',
  (name) => {
    expect(() => assertObjectName(name)).toThrow(expect.objectContaining({ code: 'USAGE' }));
  },
);
