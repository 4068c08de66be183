// The newest record of every image: from the catalog checkpoint if the listing proves it, else read, a few at once.
import { mapBounded } from '../../core/bounded.ts';
import { PublishError } from '../../core/errors.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import type { ImageRecord } from '../record/image.ts';
import { MAX_RECORD_BYTES } from '../record/records.ts';
import type { OnUnreadable } from '../record/unreadable.ts';
import { CheckpointReader } from './checkpoint-reader.ts';
import { CheckpointWriter } from './checkpoint-writer.ts';
import { type ListedImage, readGroup } from './read-group.ts';
import { type NewestVersion, newestVersions } from './walk-images.ts';

export interface ListRecordsOptions extends CallOptions {
  /**
   * The same store without retries. The next checkpoint is written to it if the walk read many records
   * one by one. Without it, no checkpoint is read or written.
   */
  checkpoints?: ObjectStore | undefined;
  /** Called for each record that cannot be read, which is left out; if not given, it is thrown. */
  onUnreadable?: OnUnreadable | undefined;
}

/** Groups of images at work at once. */
const GROUPS_AT_ONCE = 16;
/** Images of a group, and bytes of their records: memory does not grow with the registry. */
const MAX_GROUP = 64;
const MAX_GROUP_BYTES = 4 * MAX_RECORD_BYTES;
/** Below, reading the records costs no more than looking for a checkpoint. */
const FEW_IMAGES = 200;

/**
 * Yields the records, deleted ones included, some at once, in the order of the ids. Memory holds a
 * few groups of them for any number of images. An image whose newest version cannot be read is
 * left out, even if an older version can be.
 * @throws REGISTRY
 */
export async function* listRecords(
  store: ObjectStore,
  { checkpoints, onUnreadable = raise, signal }: ListRecordsOptions = {},
): AsyncGenerator<ImageRecord[]> {
  const walk = new Walk(store, checkpoints !== undefined, { signal });
  try {
    const read = (group: Group) => readGroup(store, group.images, { signal, onUnreadable });
    for await (const { records, lines } of mapBounded(walk.groups(), GROUPS_AT_ONCE, read)) {
      await walk.writer.add(lines);
      yield records;
    }
    if (checkpoints !== undefined && walk.writer.isDue(walk.total)) await walk.write(checkpoints);
  } finally {
    await walk.close();
  }
}

/**
 * Writes a checkpoint if the newest one lacks a record. A registry with few images gets none.
 * @throws INTERRUPTED, and nothing else
 */
export async function refreshCheckpoint(
  store: ObjectStore,
  checkpoints: ObjectStore,
  { signal }: CallOptions,
): Promise<void> {
  const walk = new Walk(store, true, { signal });
  const options = { signal, onUnreadable: () => undefined };
  try {
    const read = (group: Group) => readGroup(store, group.images, options);
    for await (const { lines } of mapBounded(walk.groups(), GROUPS_AT_ONCE, read))
      await walk.writer.add(lines);
    if (walk.total > FEW_IMAGES && walk.writer.hasLines) await walk.write(checkpoints);
  } catch (error) {
    throwIfInterrupted(error);
  } finally {
    await walk.close();
  }
}

interface Group {
  images: ListedImage[];
  /** Size of the records in the listing. */
  bytes: number;
}

/** One walk over all images, beside the newest checkpoint. */
class Walk {
  readonly writer = new CheckpointWriter();
  /** Images listed so far. */
  total = 0;
  readonly #store: ObjectStore;
  readonly #usesCheckpoint: boolean;
  readonly #options: CallOptions;
  #reader: CheckpointReader | undefined;

  constructor(store: ObjectStore, usesCheckpoint: boolean, options: CallOptions) {
    this.#store = store;
    this.#usesCheckpoint = usesCheckpoint;
    this.#options = options;
  }

  async *groups(): AsyncGenerator<Group> {
    let group: Group = { images: [], bytes: 0 };
    for await (const listed of this.#listed()) {
      // One that is too large is not read.
      const bytes = listed.newest.size > MAX_RECORD_BYTES ? 0 : listed.newest.size;
      if (group.images.length === MAX_GROUP || group.bytes + bytes > MAX_GROUP_BYTES) {
        yield group;
        group = { images: [], bytes: 0 };
      }
      group.images.push(listed);
      group.bytes += bytes;
    }
    if (group.images.length > 0) yield group;
  }

  /** Throws INTERRUPTED alone: a client may have the right to read a registry and none to write. */
  async write(store: ObjectStore): Promise<void> {
    try {
      const last = this.#reader ?? (await CheckpointReader.open(this.#store, this.#options));
      await this.writer.write(store, last, this.#options);
    } catch (error) {
      throwIfInterrupted(error);
    }
  }

  async close(): Promise<void> {
    await this.#reader?.close();
  }

  async *#listed(): AsyncGenerator<ListedImage> {
    let first: NewestVersion[] | undefined = this.#usesCheckpoint ? [] : undefined;
    for await (const newest of newestVersions(this.#store, this.#options)) {
      this.total += 1;
      if (first !== undefined) {
        first.push(newest);
        if (first.length <= FEW_IMAGES) continue;
        this.#reader = await CheckpointReader.open(this.#store, this.#options);
        for (const each of first) yield { newest: each, text: await this.#reader.take(each) };
        first = undefined;
      } else yield { newest, text: await this.#reader?.take(newest) };
    }
    for (const newest of first ?? []) yield { newest };
  }
}

function raise(error: Error): never {
  throw error;
}

/** A checkpoint is a cache: without it everything is slower, and nothing is wrong. */
function throwIfInterrupted(error: unknown): void {
  if (error instanceof PublishError && error.code === 'INTERRUPTED') throw error;
}
