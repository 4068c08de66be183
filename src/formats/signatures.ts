// Which formats a file could be taken for, by the marks that QEMU and other readers go by.
import type { DiskFormat } from '../snapshot-types.ts';
import type { ImageBytes } from './image-bytes.ts';

/** Formats that are read; the others are known only to be refused by name. */
export type KnownFormat = Exclude<DiskFormat, 'raw'>;

export interface Signature {
  /** As it is told to people. */
  name: string;
  /** Where it is one of ours. */
  format?: KnownFormat;
  /** What a raw disk may hold: a partition table, an ISO file system. */
  inRaw?: true;
  /** It names other files to whoever guesses its format, and there is no inspector for it. */
  leads?: true;
  /** It stands at the end of the file, where QEMU does not look for it. */
  atEnd?: true;
}

interface Mark extends Signature {
  /** From the start; from the end where negative. */
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
  { name: 'gzip', offset: 0, bytes: Buffer.from('1f8b08', 'hex') },
  { name: 'xz', offset: 0, bytes: Buffer.from('fd377a585a00', 'hex') },
  { name: 'zstd', offset: 0, bytes: Buffer.from('28b52ffd', 'hex') },
  { name: 'bzip2', offset: 0, bytes: ascii('BZh') },
  { name: 'zip', offset: 0, bytes: ascii('PK\x03\x04') },
  { name: '7z', offset: 0, bytes: Buffer.from('377abcaf271c', 'hex') },
  { name: 'tar (OVA)', offset: 257, bytes: ascii('ustar') },
  { name: 'partition table', inRaw: true, offset: 510, bytes: Buffer.from('55aa', 'hex') },
  { name: 'GPT', inRaw: true, offset: 512, bytes: ascii('EFI PART') },
  { name: 'GPT', inRaw: true, offset: 4096, bytes: ascii('EFI PART') },
  { name: 'ISO 9660', inRaw: true, offset: 0x8001, bytes: ascii('CD001') },
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
  if (await isDescriptor(bytes)) found.set(DESCRIPTOR_NAME, { name: DESCRIPTOR_NAME, leads: true });
  return [...found.values()];
}

// As vmdk_probe does: comments and blank lines may stand before `version=`.
async function isDescriptor(bytes: ImageBytes): Promise<boolean> {
  const head = (await bytes.at(0, 2048)).toString('latin1');
  if (/^\s*#\s*disk\s*descriptorfile/i.test(head)) return true;
  const line = head.split('\n').find((each) => !/^\s*(#.*)?\r?$/.test(each));
  return line !== undefined && /^\s*version\s*=\s*\d/i.test(line);
}
