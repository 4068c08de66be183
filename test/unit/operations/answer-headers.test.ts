// Names and encodings are read from the headers of an HTTP answer, in all notations of servers.
import { describe, expect, it } from 'vitest';
import {
  encodingsOf,
  nameOf,
  namesOf,
  pageTypeOf,
} from '#built/operations/import/fetch/answer-headers.js';

describe('encodings', () => {
  it.each([
    [{}, []],
    [{ 'content-encoding': '' }, []],
    [{ 'content-encoding': 'identity' }, []],
    [{ 'content-encoding': 'GZIP' }, ['gzip']],
    [{ 'content-encoding': 'x-gzip' }, ['gzip']],
    [{ 'content-encoding': 'gzip, br' }, ['brotli', 'gzip']],
    [{ 'content-encoding': 'deflate', 'transfer-encoding': 'gzip, chunked' }, ['gzip', 'deflate']],
    [{ 'content-encoding': 'zstd' }, ['zstd']],
  ])('%j', (headers, encodings) => {
    expect(encodingsOf(headers)).toEqual({ encodings });
  });

  it.each([
    [{ 'content-encoding': 'compress' }, 'compress'],
    [{ 'content-encoding': 'gzip, compress' }, 'compress'],
    [{ 'transfer-encoding': 'compress, chunked' }, 'compress'],
    [{ 'content-encoding': 'gzip,gzip,gzip,gzip,br' }, 'br'],
  ])('%j has one that cannot be decoded, and names it', (headers, unknown) => {
    expect(encodingsOf(headers)).toEqual({ unknown });
  });

  it.each(['aws-chunked', 'binary', 'none', 'identity'])(
    '%s leaves the bytes as they are',
    (word) => {
      expect(encodingsOf({ 'content-encoding': word })).toEqual({ encodings: [] });
    },
  );
});

describe('names', () => {
  it.each([
    ['http://host/a/disk.qcow2?sig=x.vmdk#y.raw', 'disk.qcow2'],
    ['http://host/disk%2Eqcow2', 'disk.qcow2'],
    ['http://host/disk.qcow2;v=1', 'disk.qcow2'],
    ['http://host/disk.qcow2/', 'disk.qcow2'],
    ['http://host/%zz.raw', '%zz.raw'],
    ['http://host/', ''],
  ])('%s', (url, name) => {
    expect(nameOf(new URL(url))).toBe(name);
  });

  it.each([
    ['attachment', []],
    ['attachment; filename=disk.vmdk', ['disk.vmdk']],
    ['attachment; filename="my disk.vmdk"; size=3', ['my disk.vmdk']],
    ['attachment; filename="a\\"b.vmdk"', ['a"b.vmdk']],
    ['attachment; filename="../../C:\\\\x\\\\disk.vmdk"', ['disk.vmdk']],
    ["attachment; filename=x; filename*=UTF-8''d%C3%AFsk.iso", ['dïsk.iso', 'x']],
  ])('Content-Disposition %s', (header, names) => {
    expect(namesOf({ 'content-disposition': header })).toEqual(names);
  });
});

it('pages, errors and listings are recognized as no disk images', () => {
  const pages = ['text/html; charset=utf-8', 'Text/HTML', 'application/json', 'text/xml'];
  for (const type of pages) expect(pageTypeOf({ 'content-type': type })).toBeDefined();
  const disks = ['application/octet-stream', 'text/plain', 'application/x-qemu-disk', ''];
  for (const type of disks) expect(pageTypeOf({ 'content-type': type })).toBeUndefined();
  expect(pageTypeOf({})).toBeUndefined();
});
