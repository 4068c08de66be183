// How a snapshot of a domain says which image it belongs to. Pure.

/** The description of a snapshot that an image names the volumes of. */
export function imageMark(imageId: string): string {
  return `virt-publish image ${imageId}`;
}

/** The id of the image; null for a snapshot of somebody else's. */
export function imageOfMark(description: string | null): string | null {
  return /^virt-publish image (\S+)$/.exec(description?.trim() ?? '')?.[1] ?? null;
}
