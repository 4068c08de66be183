// Reads from a qcow2's own header whether its data lies in the file.
import { open } from 'node:fs/promises';

const VERSION_AT = 4;
/** Three times eight bytes since version 3: incompatible, compatible, autoclear. */
const INCOMPATIBLE_AT = 72;
const EXTERNAL_DATA_FILE = 4;

/**
 * Returns whether the data lies in an external data file.
 * NOTE: `qemu-img map` reports places in that file as if they were places in the qcow2 itself.
 * @throws the file system's error.
 */
export async function hasDataFile(path: string): Promise<boolean> {
  const header = Buffer.alloc(INCOMPATIBLE_AT + 8);
  const file = await open(path, 'r');
  try {
    await file.read(header, 0, header.length, 0);
  } finally {
    await file.close();
  }
  if (header.readUInt32BE(VERSION_AT) < 3) return false;
  return (header.readUInt32BE(INCOMPATIBLE_AT + 4) & EXTERNAL_DATA_FILE) !== 0;
}
