// Samples a chain's data for clusters full of zeros, which only a read finds.
import { type FileHandle, open } from 'node:fs/promises';
import { isZero } from '../../host/io/zeros.ts';
import { CLUSTER, type DataRuns } from './data-runs.ts';

const SAMPLES = 256;
/** With more zeros among the samples, leaving them out is worth a second reading by qemu-img. */
const MAX_ZEROS = SAMPLES / 50;
/** Concurrent reads. */
const CONCURRENCY = 16;

/** Returns whether more than one in fifty of the sampled clusters is full of zeros. */
export async function hasZeros(layers: readonly string[], runs: DataRuns): Promise<boolean> {
  const count = Math.min(SAMPLES, runs.clusters);
  const clusters = Array.from({ length: CONCURRENCY }, () => Buffer.alloc(CLUSTER));
  const files = await Promise.all(layers.map((path) => open(path, 'r')));
  try {
    let zeros = 0;
    for (let n = 0; n < count && zeros <= MAX_ZEROS; n += CONCURRENCY) {
      const batch = clusters.slice(0, count - n).map((cluster, index) => {
        const at = Math.floor(((n + index + 0.5) * runs.clusters) / count) * CLUSTER;
        return isZeroAt(files, runs, at, cluster);
      });
      zeros += (await Promise.all(batch)).filter(Boolean).length;
    }
    return zeros > MAX_ZEROS;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function isZeroAt(
  files: readonly FileHandle[],
  runs: DataRuns,
  at: number,
  cluster: Buffer,
): Promise<boolean> {
  for (const { depth, at: from, length } of runs.segments(at, at + CLUSTER)) {
    const { bytesRead = 0 } = (await files[depth]?.read(cluster, 0, length, from)) ?? {};
    if (bytesRead > 0 && !isZero(cluster, 0, bytesRead)) return false;
  }
  return true;
}
