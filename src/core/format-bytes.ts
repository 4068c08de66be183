// Sizes for people; the only importer of pretty-bytes.
import prettyBytes from 'pretty-bytes';

/** `1.5 GiB`. */
export function formatBytes(bytes: number): string {
  return prettyBytes(bytes, { binary: true });
}
