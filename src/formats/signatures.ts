// Detects every format that a reader could take a file for, by the marks that QEMU and others use.
import type { DiskFormat } from '../core/model.ts';
import type { ImageBytes } from './image-bytes.ts';
import { findPackings } from './packed-signatures.ts';

/** Formats with a header that is read; the others are known only to be refused by name. */
export type KnownFormat = Exclude<DiskFormat, 'raw' | 'iso'>;

export interface Signature {
  /** In words for people. */
  name: string;
  /** If it is a supported disk format. */
  format?: KnownFormat | 'iso';
  /** What a raw disk may hold: a partition table, an ISO file system. */
  inRaw?: true;
  /** Its header may name other files, and there is no inspector for it. */
  leads?: true;
  /** The mark is at the end of the file, which QEMU does not read. */
  atEnd?: true;
  /** Text, which counts as a raw disk only if the caller requests that. */
  isText?: true;
}

interface Mark extends Signature {
  /** Counted from the start; from the end if negative. */
  offset: number;
  bytes: Buffer;
}

const ascii = (text: string) => Buffer.from(text, 'latin1');

const MARKS: readonly Mark[] = [
  { name: 'qcow2', format: 'qcow2', offset: 0, bytes: ascii('QFI\xfb') },
  { name: 'VMDK', format: 'vmdk', offset: 0, bytes: ascii('KDMV') },
  { name: 'VDI', format: 'vdi', offset: 0x40, bytes: Buffer.from('7f10dabe', 'hex') },
  { name: 'VHDX', format: 'vhdx', offset: 0, bytes: ascii('vhdxfile') },
  { name: 'QED', leads: true, offset: 0, bytes: ascii('QED\0') },
  { name: 'VMDK of ESX (COWD)', leads: true, offset: 0, bytes: ascii('COWD') },
  {
    name: 'VMDK of ESX (SE sparse)',
    leads: true,
    offset: 0,
    bytes: Buffer.from('bebafeca00000000', 'hex'),
  },
  { name: 'VHD', offset: 0, bytes: ascii('conectix') },
  { name: 'VHD', offset: -512, bytes: ascii('conectix') },
  { name: 'VHD', offset: -511, bytes: ascii('conectix') },
  { name: 'LUKS (encrypted)', offset: 0, bytes: ascii('LUKS\xba\xbe') },
  { name: 'Parallels', offset: 0, bytes: ascii('WithoutFreeSpace') },
  { name: 'Parallels', offset: 0, bytes: ascii('WithouFreSpacExt') },
  { name: 'Bochs', offset: 0, bytes: ascii('Bochs Virtual HD Image') },
  { name: 'cloop', offset: 0, bytes: ascii('#!/bin/sh\n#V2.0 Format') },
  { name: 'DMG', offset: -512, bytes: ascii('koly') },
  { name: 'DMG (encrypted)', offset: 0, bytes: ascii('encrcdsa') },
  { name: 'sparse image of macOS', offset: 0, bytes: ascii('sprs') },
  { name: 'sparse image of macOS', offset: 0, bytes: ascii('shdw') },
  { name: 'partition table', inRaw: true, offset: 510, bytes: Buffer.from('55aa', 'hex') },
  { name: 'GPT', inRaw: true, offset: 512, bytes: ascii('EFI PART') },
  { name: 'GPT', inRaw: true, offset: 4096, bytes: ascii('EFI PART') },
  { name: 'ISO 9660', inRaw: true, format: 'iso', offset: 0x8001, bytes: ascii('CD001') },
  { name: 'UDF', inRaw: true, format: 'iso', offset: 0x8001, bytes: ascii('BEA01') },
  { name: 'ISO 9660', inRaw: true, offset: 0x8801, bytes: ascii('CD001') },
  { name: 'ISO 9660', inRaw: true, offset: 0x9001, bytes: ascii('CD001') },
];

/** A VMDK whose descriptor is the file: QEMU takes it for one after comments and empty lines. */
const DESCRIPTOR_NAME = 'VMDK descriptor';

/**
 * Every signature that the file bears, each once.
 *
 * NOTE: a file with two of them is one thing to who checks it and another to who opens it; the
 * trailing ones (VHD, DMG) and those in the middle (ISO, GPT) are what such files are made of.
 */
export async function findSignatures(bytes: ImageBytes): Promise<Signature[]> {
  const found = new Map<string, Signature>();
  for (const { offset, bytes: mark, ...signature } of MARKS) {
    const start = offset < 0 ? bytes.size + offset : offset;
    if (start < 0 || !(await bytes.at(start, mark.byteLength)).equals(mark)) continue;
    found.set(signature.name, { ...signature, ...(offset < 0 ? { atEnd: true } : {}) });
  }
  for (const name of await findPackings(bytes)) found.set(name, { name });
  const head = (await bytes.at(0, 2048)).toString('latin1');
  if (isDescriptor(head)) found.set(DESCRIPTOR_NAME, { name: DESCRIPTOR_NAME, leads: true });
  const [text] = TEXTS.find(([, start]) => start.test(head)) ?? [];
  if (text !== undefined) found.set(text, { name: text, isText: true });
  return [...found.values()];
}

/** Files that a server or a tool stores in place of an image: an error, a login page, a reference. */
const TEXTS: readonly [string, RegExp][] = [
  ['an HTML page', /^(\xef\xbb\xbf)?\s*<(!--|!doctype\s+html|html|head)/i],
  ['an XML document', /^(\xef\xbb\xbf)?\s*<\?xml\b/i],
  ['a JSON document', /^(\xef\xbb\xbf)?\s*[{[]\s*"/],
  ['a Git LFS pointer', /^version https:\/\/git-lfs\./],
  ['a uuencoded text', /^begin(-base64)? [0-7]{3,4} \S/],
];

// Like QEMU's vmdk_probe: comments and blank lines may precede `version=`.
function isDescriptor(head: string): boolean {
  if (/^\s*#\s*disk\s*descriptorfile/i.test(head)) return true;
  const line = head.split('\n').find((each) => !/^\s*(#.*)?\r?$/.test(each));
  return line !== undefined && /^\s*version\s*=\s*\d/i.test(line);
}
