// Finds files of this package: the programs and threads that it starts.

/**
 * The URL of a module that runs in a process or thread of its own.
 *
 * @param path below `build` or `dist`, as `libvirt/worker.js`.
 */
export function programUrl(path: string): URL {
  // NOTE: `build` and `dist` hold this module one folder deep, in a room or in a chunk.
  return new URL(`../${path}`, import.meta.url);
}
