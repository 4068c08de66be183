// What a qcow2's own header says of it, as far as it decides who can read and write the file.
import { open } from 'node:fs/promises';
import { CLUSTER } from '../plan/data-runs.ts';

export interface Qcow2Header {
  /**
   * NOTE: `qemu-img map` tells places in an external data file as if they were in the qcow2 itself.
   */
  hasDataFile: boolean;
  /** Clusters of 64 KiB, and nothing in the file but tables and the guest's data as they are. */
  isPlain: boolean;
}

const CLUSTER_BITS_AT = 20;
const CRYPT_AT = 32;
const SNAPSHOTS_AT = 60;
/** Three times eight bytes, after version 3: incompatible, compatible, autoclear (bitmaps). */
const FEATURES_AT = 72;
const HEADER_BYTES = FEATURES_AT + 3 * 8;
const EXTERNAL_DATA_FILE = 4;

/** @throws what opening and reading throws. */
export async function readQcow2Header(path: string): Promise<Qcow2Header> {
  const header = Buffer.alloc(HEADER_BYTES);
  const file = await open(path, 'r');
  try {
    await file.read(header, 0, header.length, 0);
  } finally {
    await file.close();
  }
  const number = (at: number) => header.readUInt32BE(at);
  const hasFeatures = number(4) >= 3;
  const has = (word: number) => hasFeatures && number(FEATURES_AT + word * 4) !== 0;
  const isOfUsualSize = 2 ** number(CLUSTER_BITS_AT) === CLUSTER;
  const isAlone = number(CRYPT_AT) === 0 && number(SNAPSHOTS_AT) === 0;
  const incompatible = [0, 1];
  const autoclear = [4, 5];
  return {
    hasDataFile: hasFeatures && (number(FEATURES_AT + 4) & EXTERNAL_DATA_FILE) !== 0,
    isPlain: isOfUsualSize && isAlone && ![...incompatible, ...autoclear].some(has),
  };
}
