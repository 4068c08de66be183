// Resuming the upload of another process: correct parts are kept, all others are sent.
import { createHash, randomBytes } from 'node:crypto';
import { mkdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { Readable } from 'node:stream';
import { crc32c } from '@node-rs/crc32';
import { expect, test } from 'vitest';
import { readDefaults } from '#built/registry/defaults.js';
import type { ObjectStore, PartUpload } from '#built/store/object-store.js';
import { openStore } from '#built/store/open-store.js';
import { fileSource } from '#built/transfer/upload/file-source.js';
import { uploadImage } from '#built/transfer/upload/upload-image.js';
import { makeFolder } from '../support/folders.ts';
import { lab } from '../support/lab.ts';
import { createBucket, listUploads } from '../support/s3.ts';

const MIB = 1024 * 1024;
const PART = 5 * MIB;

async function s3Store(bucket: string): Promise<ObjectStore> {
  const { s3 } = lab();
  process.env.AWS_ACCESS_KEY_ID = s3.accessKeyId;
  process.env.AWS_SECRET_ACCESS_KEY = s3.secretAccessKey;
  const { endpoint, region } = s3;
  return openStore(`s3://${bucket}/x`, {
    ...{ s3: { endpoint, region }, requestMs: 60_000, partMs: 60_000 },
  });
}

/** Wraps the store; records which parts are sent to resumed uploads. */
function counting(store: ObjectStore, sent: number[]): ObjectStore {
  const resumeUpload: ObjectStore['resumeUpload'] = (key, uploadId) => {
    const upload = store.resumeUpload(key, uploadId);
    const counted: PartUpload = {
      ...{ key: upload.key, uploadId: upload.uploadId },
      putPart: (number, body, options) => {
        sent.push(number);
        return upload.putPart(number, body, options);
      },
      complete: (parts, options) => upload.complete(parts, options),
      abort: (options) => upload.abort(options),
      listParts: (options) => upload.listParts(options),
      touchedAt: (options) => upload.touchedAt(options),
    };
    return counted;
  };
  return new Proxy(store, {
    get: (target, name) => {
      if (name === 'resumeUpload') return resumeUpload;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

test.each(['s3', 's3 with checksums', 'directory'])(
  '%s: a resumed upload keeps correct parts, and sends wrong, short and missing ones',
  async (kind) => {
    const folder = await makeFolder('vp-test-resume');
    const bucket = await createBucket();
    const directory = join(folder, 'registry');
    await mkdir(directory);
    const store =
      kind !== 'directory'
        ? await s3Store(bucket)
        : await openStore(directory, { requestMs: 60_000, partMs: 60_000 });
    const path = join(folder, 'image');
    const bytes = randomBytes(4 * PART + 1000);
    await writeFile(path, bytes);
    const key = 'images/some/vda.raw';
    const checksums = kind === 's3 with checksums';
    const check = checksums ? 'crc32c' : 'md5';
    const stale = await store.startUpload(key, { check });
    const earlier = await store.startUpload(key, { check });
    const put = async (upload: PartUpload, number: number, content: Buffer) => {
      const start = (number - 1) * PART;
      const open = () => Readable.from([content]);
      const sum = crc32c(content).toString(16).padStart(8, '0');
      const body = { start, length: content.length, open, ...(checksums ? { crc32c: sum } : {}) };
      await upload.putPart(number, body);
    };
    await put(stale, 1, bytes.subarray(0, PART));
    await put(earlier, 1, bytes.subarray(0, PART));
    await put(earlier, 2, randomBytes(PART));
    await put(earlier, 3, bytes.subarray(2 * PART, 3 * PART));
    await put(earlier, 4, bytes.subarray(3 * PART, 4 * PART - 1));

    const sent: number[] = [];
    const { upload } = readDefaults();
    const { digests, size } = await uploadImage(counting(store, sent), {
      ...{ key, source: await fileSource(path), algorithms: ['sha256'], resume: true, checksums },
      policy: { ...upload, partSizeMib: PART / MIB },
    });

    expect(size).toBe(bytes.length);
    expect(sent.sort()).toEqual([2, 4, 5]);
    const stored = await store.openRead(key);
    const hash = createHash('sha256');
    for await (const chunk of stored ?? []) hash.update(chunk as Uint8Array);
    const expected = createHash('sha256')
      .update(await readFile(path))
      .digest('hex');
    expect([hash.digest('hex'), digests.sha256]).toEqual([expected, expected]);
    expect(await listUploads(bucket)).toEqual([]);
    for await (const open of store.listUploads('')) expect(open).toBeUndefined();
  },
);
