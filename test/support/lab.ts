// The lab that scripts/setup.sh made: its paths, endpoints and keys.
import { existsSync, readFileSync } from 'node:fs';
import { join } from 'node:path';

export interface S3Access {
  /** Plain http, path style. */
  endpoint: string;
  /** https with a certificate that only `caFile` can verify. */
  tlsEndpoint: string;
  caFile: string;
  /** The same buckets through a gateway that accepts parts of any size. */
  tinyPartsEndpoint: string;
  region: string;
  accessKeyId: string;
  secretAccessKey: string;
}

export interface Lab {
  dir: string;
  uri: string;
  kernel: string;
  initrd: string;
  /** The tiny guest's root disk, raw ext4. Shared by all tests: copy it, never write to it. */
  rootImage: string;
  s3: S3Access;
}

let cached: Lab | undefined;

/** Reads the lab's facts from the environment, else from `$VIRT_PUBLISH_LAB/env`. @throws if it does not run */
export function lab(): Lab {
  cached ??= readLab();
  return cached;
}

/** Reads endpoint and keys from an `env` file of scripts/s3-server.sh. */
export function s3AccessOf(facts: ReadonlyMap<string, string>): S3Access {
  return {
    endpoint: need(facts, 'S3_ENDPOINT'),
    tlsEndpoint: need(facts, 'S3_TLS_ENDPOINT'),
    caFile: need(facts, 'S3_CA_FILE'),
    tinyPartsEndpoint: need(facts, 'S3_TINY_PARTS_ENDPOINT'),
    region: need(facts, 'AWS_REGION'),
    accessKeyId: need(facts, 'AWS_ACCESS_KEY_ID'),
    secretAccessKey: need(facts, 'AWS_SECRET_ACCESS_KEY'),
  };
}

/** Reads the `export NAME=VALUE` lines of a file for a shell. */
export function readEnvFile(file: string): Map<string, string> {
  const facts = new Map<string, string>();
  for (const [, name, value] of readFileSync(file, 'utf8').matchAll(/^export (\w+)=(.*)$/gm)) {
    if (name !== undefined && value !== undefined) {
      facts.set(name, value.replaceAll(/\\(.)/g, '$1'));
    }
  }
  return facts;
}

function readLab(): Lab {
  const dir = process.env.VIRT_PUBLISH_LAB ?? '/var/lib/virt-publish-lab';
  const file = join(dir, 'env');
  if (!existsSync(file)) {
    throw new Error(`the lab is not up (no ${file}): run scripts/setup.sh`);
  }
  const facts = readEnvFile(file);
  for (const [name, value] of Object.entries(process.env)) {
    if (facts.has(name) && value !== undefined) {
      facts.set(name, value);
    }
  }
  const found: Lab = {
    dir,
    uri: need(facts, 'LIBVIRT_DEFAULT_URI'),
    kernel: need(facts, 'LAB_KERNEL'),
    initrd: need(facts, 'LAB_INITRD'),
    rootImage: need(facts, 'LAB_ROOT_IMAGE'),
    s3: s3AccessOf(facts),
  };
  for (const path of [found.kernel, found.initrd, found.rootImage]) {
    if (!existsSync(path)) {
      throw new Error(`the lab is not whole (no ${path}): run scripts/setup.sh`);
    }
  }
  return found;
}

function need(facts: ReadonlyMap<string, string>, name: string): string {
  const value = facts.get(name);
  if (value === undefined) {
    throw new Error(`the lab's env file has no ${name}: run scripts/setup.sh again`);
  }
  return value;
}
