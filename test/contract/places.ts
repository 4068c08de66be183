// The places the contract suites run in: a directory and a bucket of a real server, each with its judge.
import { randomUUID } from 'node:crypto';
import { mkdir, mkdtemp, open, readdir, readFile, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterAll } from 'vitest';
import type { RegistryOptions } from '#built/registry/registry.js';
import type { ObjectStore } from '#built/store/object-store.js';
import { openStore } from '#built/store/open-store.js';
import { lab } from '../support/lab.ts';
import { createBucket, listKeys, listUploads, rclone } from '../support/s3.ts';

/** One registry's place, and hands that reach into it without our code. */
export interface Place {
  url: string;
  options: RegistryOptions;
  store: ObjectStore;
  keys(): Promise<string[]>;
  /** What is left of uploads that are not finished, whatever the place keeps of them. */
  openUploads(): Promise<string[]>;
  /** Copies an object out with an independent tool. */
  copyOut(key: string, file: string): Promise<void>;
  copyIn(file: string, key: string): Promise<void>;
}

const folders: string[] = [];
afterAll(async () => {
  for (const folder of folders) await rm(folder, { recursive: true, force: true });
});

/** A new folder for scratch files; it goes with the test file. */
export async function scratchFolder(): Promise<string> {
  const folder = await mkdtemp(join(tmpdir(), 'vp-contract-'));
  folders.push(folder);
  return folder;
}

export const PLACES: readonly { name: string; make(): Promise<Place> }[] = [
  { name: 'directory', make: directoryPlace },
  { name: 'S3', make: () => bucketPlace() },
];

const TIMES = { requestMs: 60_000, partMs: 60_000 };

async function directoryPlace(): Promise<Place> {
  const root = join(await scratchFolder(), 'registry');
  await mkdir(root);
  const path = (key: string) => join(root, key);
  return {
    url: root,
    options: {},
    store: await openStore(root, TIMES),
    keys: async () => {
      const entries = await readdir(root, { recursive: true, withFileTypes: true });
      const files = entries.filter((entry) => entry.isFile());
      const names = files.map((entry) => join(entry.parentPath, entry.name).slice(root.length + 1));
      return names.filter((name) => !name.startsWith('.uploads/')).sort();
    },
    openUploads: async () =>
      (await readdir(root)).includes('.uploads') ? readdir(path('.uploads')) : [],
    copyOut: async (key, file) => writeFile(file, await readFile(path(key))),
    copyIn: async (file, key) => writeFile(path(key), await readFile(file)),
  };
}

/** A bucket of the lab's server, with the keys where the SDK looks for them. */
export async function bucketPlace(endpoint = lab().s3.endpoint): Promise<Place> {
  const { accessKeyId, secretAccessKey, region } = lab().s3;
  Object.assign(process.env, {
    AWS_ACCESS_KEY_ID: accessKeyId,
    AWS_SECRET_ACCESS_KEY: secretAccessKey,
  });
  const bucket = await createBucket();
  const prefix = `golden/${randomUUID().slice(0, 8)}`;
  const url = `s3://${bucket}/${prefix}`;
  const s3 = { endpoint, region };
  return {
    url,
    options: { s3 },
    store: await openStore(url, { ...TIMES, s3 }),
    keys: async () => (await listKeys(bucket)).map((key) => key.slice(prefix.length + 1)),
    openUploads: async () => (await listUploads(bucket)).map(({ Key }) => Key ?? ''),
    copyOut: async (key, file) => {
      await rclone('copyto', `lab:${bucket}/${prefix}/${key}`, file);
    },
    copyIn: async (file, key) => {
      await rclone('copyto', '--ignore-times', file, `lab:${bucket}/${prefix}/${key}`);
    },
  };
}

/** Turns one bit of an object in the store, behind the product's back. */
export async function flipBit(place: Place, key: string, at: number): Promise<void> {
  const copy = join(await scratchFolder(), 'copy');
  await place.copyOut(key, copy);
  const file = await open(copy, 'r+');
  const byte = Buffer.alloc(1);
  await file.read(byte, 0, 1, at);
  byte.writeUInt8(byte.readUInt8() ^ 1);
  await file.write(byte, 0, 1, at);
  await file.close();
  await place.copyIn(copy, key);
}
