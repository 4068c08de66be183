// Formats sizes for people; the only importer of pretty-bytes.
import prettyBytes from 'pretty-bytes';

/** Returns the size with a binary unit, such as `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}
