// Reads the newest records of some images, without a request if the checkpoint has the record.
import { eachBounded } from '../../core/bounded.ts';
import type { CallOptions } from '../../store/object-info.ts';
import type { ObjectStore } from '../../store/object-store.ts';
import { examineRecord } from '../record/check-record.ts';
import type { ImageRecord } from '../record/image.ts';
import { lookAtRecord, lookAtVersion, recordFolder } from '../record/image-records.ts';
import { MAX_RECORD_BYTES, parseText, tooLarge, versionKey } from '../record/records.ts';
import {
  isUnreadable,
  type OnUnreadable,
  type UnreadableRecord,
  unreadableRecord,
} from '../record/unreadable.ts';
import type { CheckpointLine } from './checkpoint-lines.ts';
import { isObject } from './checkpoint-reader.ts';
import type { NewestVersion } from './walk-images.ts';

/** An image's newest version as it was listed, with the text of that object if a checkpoint has it. */
export interface ListedImage {
  newest: NewestVersion;
  text?: string | undefined;
}

/** Requests at once. */
const READS_AT_ONCE = 8;

interface ReadOptions extends CallOptions {
  onUnreadable: OnUnreadable;
}

/** Returns the records of these images, and a checkpoint's line for each that a request was made for. */
export async function readGroup(
  store: ObjectStore,
  images: readonly ListedImage[],
  { onUnreadable, signal }: ReadOptions,
): Promise<{ records: ImageRecord[]; lines: CheckpointLine[] }> {
  const found = new Map<string, Found>();
  const missing: NewestVersion[] = [];
  for (const { newest, text } of images) {
    const record = text === undefined ? undefined : recordInText(text, newest);
    if (record === undefined) missing.push(newest);
    else found.set(newest.id, { record });
  }
  await eachBounded(missing, READS_AT_ONCE, async (newest) => {
    found.set(newest.id, await readOne(store, newest, { signal }));
  });
  const records: ImageRecord[] = [];
  const lines: CheckpointLine[] = [];
  for (const { newest } of images) {
    const { record, text } = found.get(newest.id) ?? {};
    if (record === undefined) continue;
    if (isUnreadable(record)) {
      onUnreadable(unreadableRecord(record));
      continue;
    }
    records.push(record);
    if (text !== undefined) lines.push({ id: newest.id, version: newest.version, record: text });
  }
  return { records, lines };
}

interface Found {
  record?: ImageRecord | UnreadableRecord | undefined;
  /** Text of the stored object, if the listing proves it. */
  text?: string;
}

async function readOne(
  store: ObjectStore,
  { id, version, size, etag }: NewestVersion,
  options: CallOptions,
): Promise<Found> {
  if (size > MAX_RECORD_BYTES) {
    const key = versionKey(recordFolder(id), version);
    return { record: { id, version, key, problem: tooLarge() } };
  }
  const found = await lookAtVersion(store, id, version, options);
  // Removed since the listing: a newer one follows, or the image does not exist any more.
  if (found === undefined) return { record: await lookAtRecord(store, id, options) };
  const { record, body } = found;
  if (isUnreadable(record) || body === undefined || !isObject(body, size, etag)) return { record };
  return { record, text: Buffer.from(body).toString('utf8') };
}

/** Returns the record in the text of that version's object; `undefined` if it cannot be read. */
function recordInText(text: string, { id, version }: NewestVersion): ImageRecord | undefined {
  const parsed = parseText(text);
  if (parsed.problem !== undefined) return undefined;
  const examined = examineRecord(parsed.value);
  if (examined.problem !== undefined) return undefined;
  const { record } = examined;
  return record.id === id && record.version === version ? record : undefined;
}
