// Whether much of a chain's data is zeros, which only reading them tells.
import { type FileHandle, open } from 'node:fs/promises';
import { CLUSTER, type DataRuns } from './data-runs.ts';

const SAMPLES = 256;
/** Of the samples; more than that is worth leaving out. */
const MAX_ZEROS = SAMPLES / 50;

/** Looks at clusters all over the data; with fewer zeros than that it is not worth a second reading. */
export async function hasZeros(layers: readonly string[], runs: DataRuns): Promise<boolean> {
  const count = Math.min(SAMPLES, runs.clusters);
  const cluster = Buffer.alloc(CLUSTER);
  const files = await Promise.all(layers.map((path) => open(path, 'r')));
  try {
    let zeros = 0;
    for (let n = 0; n < count && zeros <= MAX_ZEROS; n += 1) {
      const at = Math.floor(((n + 0.5) * runs.clusters) / count) * CLUSTER;
      if (await isZero(files, runs, at, cluster)) zeros += 1;
    }
    return zeros > MAX_ZEROS;
  } finally {
    await Promise.all(files.map((file) => file.close()));
  }
}

async function isZero(
  files: readonly FileHandle[],
  runs: DataRuns,
  at: number,
  cluster: Buffer,
): Promise<boolean> {
  for (const { depth, at: from, length } of runs.segments(at, at + CLUSTER)) {
    const piece = cluster.subarray(0, length);
    const { bytesRead = 0 } = (await files[depth]?.read(piece, 0, length, from)) ?? {};
    if (piece.subarray(0, bytesRead).some((byte) => byte !== 0)) return false;
  }
  return true;
}
