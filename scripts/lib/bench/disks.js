// Makes the disks to publish: a chain of two layers with random data and files of this host.
import { randomBytes } from 'node:crypto';
import {
  closeSync,
  copyFileSync,
  existsSync,
  openSync,
  readdirSync,
  readFileSync,
  renameSync,
  truncateSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { command } from './run.js';

const MIB = 1024 * 1024;
const VIRTUAL_RATIO = 2;
const REAL_FOLDERS = ['/usr/bin', '/usr/lib', '/usr/share'];
/** Bytes; behind the end of the guest's file system, which never reads there. */
const DATA_START = 256 * MIB;

/**
 * Makes a base with five sixths of `dataMib` and an overlay with the rest. 50% of each is random, 50%
 * is files of this host. The base is kept between runs. Resolves to the path of the overlay.
 */
export async function makeChain(folder, name, dataMib) {
  const base = join(folder, `chain-base-${dataMib}.qcow2`);
  const virtual = Math.max(1024, dataMib * VIRTUAL_RATIO) * MIB;
  const overlayMib = Math.floor(dataMib / 6);
  if (!existsSync(base)) await makeBase(base, virtual, dataMib - overlayMib);
  const overlay = join(folder, `${name}.qcow2`);
  const format = ['-f', 'qcow2', '-b', base, '-F', 'qcow2'];
  await command('qemu-img', 'create', '-q', ...format, overlay);
  if (overlayMib > 0) await fillOverlay(overlay, overlayMib, DATA_START + dataMib * MIB);
  return overlay;
}

/** Resolves to the files of a chain, the active layer first. */
export async function layersOf(disk) {
  const args = ['info', '-U', '--backing-chain', '--output=json', disk];
  return JSON.parse(await command('qemu-img', ...args)).map(({ filename }) => filename);
}

/**
 * Gives every contender the same start: flushes all writes, and drops these files from the page cache. A
 * guest with cache='none' does not fill it either.
 */
export async function dropPageCache(files) {
  await command('sync');
  for (const file of files.filter((each) => existsSync(each))) {
    const drop = ['oflag=nocache', 'conv=notrunc,fdatasync', 'count=0', 'status=none'];
    await command('dd', 'if=/dev/null', `of=${file}`, ...drop);
  }
}

async function makeBase(base, virtual, mib) {
  const raw = `${base}.raw`;
  copyFileSync(process.env.LAB_ROOT_IMAGE, raw);
  truncateSync(raw, virtual);
  fill(raw, DATA_START, mib);
  const partial = `${base}.partial`;
  await command('qemu-img', 'convert', '-f', 'raw', '-O', 'qcow2', raw, partial);
  await command('rm', raw);
  renameSync(partial, base);
}

/** NOTE: a write of qemu-io is limited to less than 2 GiB. */
async function fillOverlay(overlay, mib, start) {
  const data = `${overlay}.data`;
  closeSync(openSync(data, 'w'));
  fill(data, 0, mib);
  for (let at = 0; at < mib; at += 512) {
    const length = Math.min(512, mib - at) * MIB;
    const piece = `${data}.piece`;
    await command(
      'dd',
      `if=${data}`,
      `of=${piece}`,
      'bs=1M',
      `skip=${at}`,
      `count=${length / MIB}`,
      'status=none',
    );
    const write = `write -q -s ${piece} ${start + at * MIB} ${length}`;
    await command('qemu-io', '-f', 'qcow2', '-c', write, overlay);
    await command('rm', piece);
  }
  await command('rm', data);
}

/** Data like on real disks: 50% random, 50% programs, libraries and documents of this host. */
function fill(path, start, mib) {
  const file = openSync(path, 'r+');
  const real = realBytes();
  for (let at = 0; at < mib; at += 1) {
    const block = at % 2 === 0 ? randomBytes(MIB) : real.next().value;
    writeSync(file, block, 0, MIB, start + at * MIB);
  }
  closeSync(file);
}

/** Yields the files below REAL_FOLDERS in blocks of 1 MiB, without end. */
function* realBytes() {
  let block = Buffer.alloc(0);
  for (;;) {
    for (const path of realFiles()) {
      block = Buffer.concat([block, readFileSync(path)]);
      for (; block.length >= MIB; block = block.subarray(MIB)) yield block.subarray(0, MIB);
    }
  }
}

function* realFiles() {
  for (const folder of REAL_FOLDERS) {
    const entries = readdirSync(folder, { recursive: true, withFileTypes: true });
    for (const entry of entries) if (entry.isFile()) yield join(entry.parentPath, entry.name);
  }
}
