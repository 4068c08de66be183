// Lines for `sha256sum -c`: what every object of an image must be. Pure.
import type { ImageRecord } from './record/image.ts';
import { allObjects } from './record/image-objects.ts';

/**
 * `<sha256>  <id>/<name>` for each disk and artefact, without line ends: the paths below
 * `images/` in the registry. Names hold no character that sha256sum would escape.
 */
export function sumLines(image: ImageRecord): string[] {
  return allObjects(image).map(({ name, sha256 }) => `${sha256}  ${image.id}/${name}`);
}
