// Whether much of a chain's data is zeros, which only reading them tells.
import { type FileHandle, open } from 'node:fs/promises';
import { isZero } from '../../host/io/zeros.ts';
import { CLUSTER, type DataRuns } from './data-runs.ts';

const SAMPLES = 256;
/** Of the samples; more than that is worth leaving out. */
const MAX_ZEROS = SAMPLES / 50;
/** Reads that wait for a disk together. */
const AT_ONCE = 16;

/** Looks at clusters all over the data; with fewer zeros than that it is not worth a second reading. */
export async function hasZeros(layers: readonly string[], runs: DataRuns): Promise<boolean> {
  const count = Math.min(SAMPLES, runs.clusters);
  const clusters = Array.from({ length: AT_ONCE }, () => Buffer.alloc(CLUSTER));
  const files = await Promise.all(layers.map((path) => open(path, 'r')));
  try {
    let zeros = 0;
    for (let n = 0; n < count && zeros <= MAX_ZEROS; n += AT_ONCE) {
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
