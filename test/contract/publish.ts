// Puts images into a registry by the whole way, for suites that are about what comes after.
import { randomBytes, randomUUID } from 'node:crypto';
import { writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import type { ImageRecord } from '#built/registry/record/image.js';
import type { NewImage, Registry } from '#built/registry/registry.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { scratchFolder } from './places.ts';

/** An active image of some random bytes, with an artefact where one is given. */
export async function publish(
  registry: Registry,
  fields: Partial<NewImage> & { name: string },
  { size = 4096, artefact }: { size?: number; artefact?: string } = {},
): Promise<ImageRecord> {
  const { id } = await registry.queueImage({ disk_format: 'raw', ...fields });
  await registry.markSaving(id);
  const file = join(await scratchFolder(), randomUUID());
  await writeFile(file, randomBytes(size));
  const { digests } = await registry.uploadData(id, 'vda.raw', await fileSource(file));
  const artefacts =
    artefact === undefined ? [] : [await registry.putArtefact(id, 'domain.xml', artefact)];
  const data = { name: 'vda.raw', size, sha256: digests.sha256 };
  return registry.activateImage(id, { data, artefacts });
}

export async function all<T>(items: AsyncIterable<T>): Promise<T[]> {
  const list: T[] = [];
  for await (const item of items) list.push(item);
  return list;
}
