// The description of a domain's snapshot that names its image. Pure.

/** Returns the description of a snapshot whose volumes an image names. */
export function imageMark(imageId: string): string {
  return `virt-publish image ${imageId}`;
}

/** Returns the id of the image; null for a snapshot of another tool. */
export function imageOfMark(description: string | null): string | null {
  return /^virt-publish image (\S+)$/.exec(description?.trim() ?? '')?.[1] ?? null;
}
