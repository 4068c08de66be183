// Samples a process and its descendants in /proc: bytes, processor time and memory.
import { readdirSync, readFileSync, statSync } from 'node:fs';
import { join } from 'node:path';

const SAMPLE_MS = 40;
const MEMORY_EVERY = 4;
const TICK_S = 1 / 100;

/**
 * Samples `pid`, its descendants, and the processes in `others` (such as the guest's QEMU) from now on.
 * `scratch` is a folder whose blocks on disk are added up. Misses what happens between two samples: a
 * short process, or the last 40 ms of a process.
 */
export function watch(pid, { scratch, others = [] }) {
  const seen = new Map();
  const before = new Map(others.map((other) => [other, readUsage(other)]));
  const peak = { memory: 0, scratch: 0 };
  let count = 0;
  const sample = () => {
    const tree = descendants(pid);
    for (const each of [...tree, ...others]) {
      const usage = readUsage(each);
      if (usage) seen.set(each, usage);
    }
    peak.scratch = Math.max(peak.scratch, blocksBelow(scratch));
    if (count % MEMORY_EVERY === 0) {
      const memory = tree.reduce((sum, each) => sum + memoryOf(each), 0);
      peak.memory = Math.max(peak.memory, memory);
    }
    count += 1;
  };
  sample();
  const timer = setInterval(sample, SAMPLE_MS);
  return () => {
    clearInterval(timer);
    const sum = { read: 0, written: 0, cpuS: 0 };
    for (const [each, usage] of seen) {
      const start = before.get(each) ?? { read: 0, written: 0, cpuS: 0 };
      for (const key of Object.keys(sum)) sum[key] += usage[key] - start[key];
    }
    return { ...sum, memory: peak.memory, scratch: peak.scratch };
  };
}

/** Runs `work`, and samples the peak size of `folder` meanwhile. */
function blocksBelow(folder) {
  let blocks = 0;
  for (const entry of list(folder)) {
    const path = join(folder, entry.name);
    if (entry.isDirectory()) blocks += blocksBelow(path);
    else blocks += orZero(() => statSync(path).blocks * 512);
  }
  return blocks;
}

function descendants(pid) {
  const children = orEmpty(() => readdirSync(`/proc/${pid}/task`)).flatMap((task) =>
    text(`/proc/${pid}/task/${task}/children`).split(' ').filter(Boolean).map(Number),
  );
  return [pid, ...children.flatMap(descendants)];
}

/** NOTE: rchar and wchar count bytes that the page cache serves, too. */
function readUsage(pid) {
  const io = text(`/proc/${pid}/io`);
  const stat = text(`/proc/${pid}/stat`);
  if (io === '' || stat === '') return undefined;
  const field = (name) => Number(new RegExp(`^${name}: (\\d+)`, 'm').exec(io)?.[1] ?? 0);
  const times = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  const cpuS = (Number(times[11]) + Number(times[12])) * TICK_S;
  return { read: field('rchar'), written: field('wchar'), cpuS };
}

/** Returns the proportional set size in bytes: shared pages count once. */
function memoryOf(pid) {
  return Number(/^Pss: +(\d+)/m.exec(text(`/proc/${pid}/smaps_rollup`))?.[1] ?? 0) * 1024;
}

function list(folder) {
  return orEmpty(() => readdirSync(folder, { withFileTypes: true }));
}

function text(path) {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

function orEmpty(read) {
  try {
    return read();
  } catch {
    return [];
  }
}

function orZero(read) {
  try {
    return read();
  } catch {
    return 0;
  }
}
