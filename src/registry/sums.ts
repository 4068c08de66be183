// Lines for `sha256sum -c`: what every object of an image must be. Pure.
import type { ImageRecord } from './image.ts';

/**
 * `<sha256>  <id>/<name>` for the data and each artefact, without line ends: the paths below
 * `images/` in the registry. Names hold no character that sha256sum would escape.
 */
export function sumLines({ id, data, artefacts }: ImageRecord): string[] {
  const objects = data === null ? artefacts : [data, ...artefacts];
  return objects.map(({ name, sha256 }) => `${sha256}  ${id}/${name}`);
}
