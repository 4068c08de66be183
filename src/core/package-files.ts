// Finds the modules of this package that run in a process or thread of their own.

/** Returns the URL of such a module; `path` is below `build` or `dist`, such as `libvirt/worker.js`. */
export function programUrl(path: string): URL {
  // NOTE: this module lies one folder deep, in a room of `build` or in the chunks of `dist`.
  return new URL(`../${path}`, import.meta.url);
}
