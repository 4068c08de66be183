// Reads the backing file that an image's header names, without another program and without trust.
import { constants } from 'node:fs';
import { type FileHandle, open, stat } from 'node:fs/promises';
import { dirname, isAbsolute } from 'node:path';
import { messageOf } from '../../core/errors.ts';
import { identityOf as identityOfStats } from './layer-mark.ts';

const HEADER_BYTES = 64;
/** The magic of qcow and of qcow2. */
const QCOW = 0x514649fb;
const QED = 0x51454400;
const VMDK = 0x4b444d56;
/** The format's own limit. */
const MAX_NAME_BYTES = 1023;
const SECTOR = 512;
/** The bytes of a descriptor that QEMU reads. */
const DESCRIPTOR_BYTES = 20 * SECTOR;
/** A deeper chain is a circle. */
const MAX_DEPTH = 256;

/** A file, and the files that its header and the headers below it name. */
export interface Below {
  /** The file itself first. */
  paths: string[];
  /** Why one of them is unreadable, so that the files below it are unknown; else null. */
  unread: string | null;
}

/** Returns the identity of a file or device, independent of its path; null if it does not exist. */
export async function identityOf(path: string): Promise<string | null> {
  const found = await stat(path, { bigint: true }).catch(() => null);
  return found === null ? null : identityOfStats(found);
}

/**
 * Returns the file and all files below it, by the headers alone.
 *
 * NOTE: a header that a guest forged in a raw disk is followed too. The result only prevents changes and
 * removals of files, so one file too many does no harm.
 */
export async function followHeaders(path: string): Promise<Below> {
  const paths = [path];
  try {
    for (let next = await backingName(path); next !== null && paths.length < MAX_DEPTH; ) {
      paths.push(next);
      next = await backingName(next);
    }
    return { paths, unread: null };
  } catch (error) {
    return { paths, unread: messageOf(error) };
  }
}

/** @throws the file system's error if the file is missing or unreadable */
async function backingName(path: string): Promise<string | null> {
  const found = await stat(path);
  // NOTE: never a pipe or a device of another kind, whose opening alone may wait forever.
  if (!(found.isFile() || found.isBlockDevice())) return null;
  const file = await open(path, constants.O_RDONLY | constants.O_NONBLOCK);
  try {
    const name = await namedIn(file, await readAt(file, 0, HEADER_BYTES));
    const local = name === null ? null : localPath(name);
    // NOTE: the kernel follows a link before a `..` behind it, and `resolve` does not.
    return local === null || isAbsolute(local) ? local : `${dirname(path)}/${local}`;
  } finally {
    await file.close();
  }
}

async function namedIn(file: FileHandle, header: Buffer): Promise<string | null> {
  if (header.subarray(0, 11).toString() === '# Disk Desc') return parentOf(file, 0);
  if (header.length < HEADER_BYTES) return null;
  switch (header.readUInt32BE(0)) {
    case QCOW:
      return nameAt(file, Number(header.readBigUInt64BE(8)), header.readUInt32BE(16));
    case QED:
      return nameAt(file, header.readUInt32LE(56), header.readUInt32LE(60));
    case VMDK:
      return parentOf(file, Number(header.readBigUInt64LE(28)) * SECTOR);
    default:
      return null;
  }
}

async function nameAt(file: FileHandle, offset: number, length: number): Promise<string | null> {
  if (offset === 0 || length === 0 || length > MAX_NAME_BYTES) return null;
  return (await readAt(file, offset, length)).toString();
}

async function parentOf(file: FileHandle, descriptorAt: number): Promise<string | null> {
  const descriptor = (await readAt(file, descriptorAt, DESCRIPTOR_BYTES)).toString();
  return /parentFileNameHint="([^"]+)"/.exec(descriptor)?.[1] ?? null;
}

async function readAt(file: FileHandle, position: number, length: number): Promise<Buffer> {
  const buffer = Buffer.alloc(length);
  if (!Number.isSafeInteger(position)) return buffer.subarray(0, 0);
  const { bytesRead } = await file.read(buffer, 0, length, position);
  return buffer.subarray(0, bytesRead);
}

/** `json:{…"filename":"/path"…}` and `file:/path` are other spellings of a path; null outside this host. */
function localPath(name: string): string | null {
  const [, inJson] = /^json:.*"(?:file\.)?filename"\s*:\s*"([^"]+)"/s.exec(name) ?? [];
  const path = (inJson ?? name).replace(/^(?:file|host_device):/, '');
  return /^[^/:]+:/.test(path) ? null : path;
}
