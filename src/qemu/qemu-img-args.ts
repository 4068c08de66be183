// Argument lists for qemu-img: formats are always named, and no file name is taken for an option. Pure.
import { isAbsolute, resolve } from 'node:path';
import { PublishError } from '../core/errors.ts';
import type { Compression, DiskFormat, TargetFormat } from '../core/model.ts';
import type { ImageFile, SourceImage } from './qemu-img-types.ts';

const COMPRESSIONS_OF: Readonly<Record<TargetFormat, readonly Compression[]>> = {
  qcow2: ['none', 'zstd', 'zlib'],
  raw: ['none'],
  vmdk: ['none', 'zlib'],
  vdi: ['none'],
  vhdx: ['none'],
};

/** Returns QEMU's name of the format. QEMU has none for an ISO and reads it as a raw disk. */
export function qemuFormat(format: DiskFormat): TargetFormat {
  return format === 'iso' ? 'raw' : format;
}

/** Returns whether `convert` can write `format` with `compress`; `none` is always possible. */
export function supportsCompression(format: TargetFormat, compress: Compression): boolean {
  return COMPRESSIONS_OF[format].includes(compress);
}

/** @throws PublishError USAGE if the format has no such compression; the hint names those it has. */
export function requireCompression(format: TargetFormat, compress: Compression): void {
  if (supportsCompression(format, compress)) return;
  const allowed = COMPRESSIONS_OF[format].join(' or ');
  const message = `format ${format} cannot be compressed with ${compress}`;
  const hint = `use --compress ${allowed}, or --format qcow2`;
  throw new PublishError('USAGE', message, { step: 'config', hint });
}

export function infoArgs(source: SourceImage): string[] {
  return ['info', '--output=json', ...openForReading(source)];
}

/**
 * qemu-img opens the backing file while it creates the overlay, so it refuses a wrong format here.
 * An absolute backing path is written unchanged: QEMU never reads a protocol prefix into it.
 */
export function createArgs(path: string, virtualSize: number, backing: ImageFile | null): string[] {
  const below =
    backing === null ? [] : ['-b', safePath(backing.path), '-F', safeFormat(backing.format)];
  return ['create', '-q', '-f', 'qcow2', ...below, '--', safePath(path), String(virtualSize)];
}

/** How the target is written: past the page cache (`none`) or through it. */
export type CacheMode = 'none' | 'writeback';

/**
 * NOTE: with either cache mode qemu-img flushes at its end, so a finished file outlives a power cut
 * (convert's own default, `unsafe`, would not). The source is read through the page cache, which
 * holds what the mirror has just written.
 */
export function convertArgs(
  source: SourceImage,
  target: { path: string; format: TargetFormat; cache: CacheMode },
  compress: Compression,
): string[] {
  return [
    ...['convert', '-p', '-t', target.cache, '-T', 'writeback'],
    ...writeOrder(target.format, compress),
    ...(compress === 'none' ? [] : ['-c']),
    ...['-O', target.format, ...targetOptions(target.format, compress)],
    ...atSnapshot(source),
    ...openForReading(source),
    safePath(target.path),
  ];
}

export function checkArgs(source: SourceImage): string[] {
  return ['check', '--output=json', ...openForReading(source)];
}

export function compareArgs(a: SourceImage, b: SourceImage): string[] {
  const share = a.shared === true || b.shared === true ? ['-U'] : [];
  const formats = ['-f', safeFormat(a.format), '-F', safeFormat(b.format)];
  return ['compare', ...share, ...formats, '--', fileName(a), fileName(b)];
}

export function mapArgs(source: SourceImage): string[] {
  return ['map', '--output=json', ...openForReading(source)];
}

export function measureArgs(source: SourceImage, targetFormat: 'qcow2' | 'raw'): string[] {
  const how = ['--output=json', '-O', targetFormat, ...atSnapshot(source)];
  return ['measure', ...how, ...openForReading(source)];
}

// NOTE: 8 coroutines with unordered writes doubled the rate in QEMU's own measurement.
// streamOptimized is read as a stream, so its grains stay in order.
function writeOrder(format: TargetFormat, compress: Compression): string[] {
  return format === 'vmdk' && compress !== 'none' ? ['-m', '8'] : ['-m', '8', '-W'];
}

function targetOptions(format: TargetFormat, compress: Compression): string[] {
  if (format === 'qcow2' && compress !== 'none') return ['-o', `compression_type=${compress}`];
  if (format === 'vmdk')
    return ['-o', `subformat=${compress === 'none' ? 'monolithicSparse' : 'streamOptimized'}`];
  if (format === 'vhdx') return ['-o', 'subformat=dynamic'];
  return [];
}

/** NOTE: in QEMU's option lists `,,` means a comma; a bare name could be taken for such a list. */
function atSnapshot({ snapshot }: SourceImage): string[] {
  if (snapshot === undefined) return [];
  const [id, name] = [snapshot.id, snapshot.name].map((word) => word.replaceAll(',', ',,'));
  return ['-l', `snapshot.id=${id},snapshot.name=${name}`];
}

function openForReading(source: SourceImage): string[] {
  const share = source.shared === true ? ['-U'] : [];
  return [...share, '-f', safeFormat(source.format), '--', fileName(source)];
}

function fileName(source: SourceImage): string {
  const { node, backingChain } = source;
  if (node === undefined && backingChain === undefined) return safePath(source.path);
  return `json:${JSON.stringify(blockNode(source, backingChain))}`;
}

// NOTE: the file itself gets no driver name: QEMU picks `file` or `host_device` by the type of the
// path, and `file` refuses a block device.
function blockNode(layer: SourceImage, below: readonly ImageFile[] | undefined): object {
  const file = layer.node ?? { filename: safePath(layer.path) };
  const node = { driver: safeFormat(layer.format), file };
  if (layer.format === 'raw' || below === undefined) return node;
  const [next, ...rest] = below;
  return { ...node, backing: next === undefined ? null : blockNode(next, rest) };
}

// NOTE: QEMU takes the text before the first `:` for a protocol only if no `/` comes before it
// (path_has_protocol). So an absolute path is always a path, also with `json:`, `nbd:` or commas in
// it.
function safePath(path: string): string {
  if (path === '' || path.includes('\0'))
    throw new PublishError('USAGE', 'a file name must not be empty or hold a NUL byte', {
      hint: 'name a file',
    });
  // NOTE: the kernel follows a link before it applies a `..` behind it; `resolve` does not.
  return isAbsolute(path) ? path : resolve(path);
}

function safeFormat(format: string): string {
  if (/^[a-z][a-z0-9_-]*$/.test(format)) return format;
  const message = `${JSON.stringify(format)} is not the name of a disk format`;
  throw new PublishError('USAGE', message, { hint: 'name one that `qemu-img --help` lists' });
}
