// Waits until a guest is restored, and checks what a run may leave in a registry.
import { lstat, readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { expect } from 'vitest';
import type { ImageRecord } from '#built/index.js';
import { openRegistry } from '#built/registry/registry.js';
import type { Sandbox } from '../support/cli.ts';
import type { TestDomain } from '../support/domains.ts';
import { type GuestPhoto, photograph } from '../support/guest-photo.ts';

/** Returns what is wrong with the guest; null if it is restored. */
export async function flawOf(domain: TestDomain, before: GuestPhoto): Promise<string | null> {
  try {
    const now = await photograph(domain);
    for (const key of Object.keys(before) as (keyof GuestPhoto)[]) {
      if (now[key] !== before[key]) return `${key} is ${now[key].slice(0, 80)}`;
    }
    if (before.state === 'shut off') return null;
    for (const { target } of domain.disks) {
      if ((await domain.blockJob(target)) !== null) return `a block job runs on ${target}`;
    }
    if (before.state === 'running' && domain.hasAgent && (await domain.agent.frozen())) {
      return 'it is frozen';
    }
    return null;
  } catch (error) {
    return error instanceof Error ? error.message.slice(0, 300) : String(error);
  }
}

/** Resolves to the milliseconds until the guest is restored. @throws after the limit, with what is wrong */
export async function untilWhole(
  domain: TestDomain,
  before: GuestPhoto,
  timeoutMs: number,
): Promise<number> {
  const startedAt = performance.now();
  for (;;) {
    const flaw = await flawOf(domain, before);
    const ms = Math.round(performance.now() - startedAt);
    if (flaw === null) return ms;
    if (ms > timeoutMs) throw new Error(`after ${ms} ms the guest is not whole: ${flaw}`);
    await sleep(30);
  }
}

const SETTLED: readonly string[] = ['killed', 'active', 'deleted'];

/** Expects no run and no scratch file, and in the registry only records and active images. */
export async function expectNothingLeft(sandbox: Sandbox): Promise<void> {
  expect(await readdir(join(sandbox.stateDir, 'runs')).catch(() => [])).toEqual([]);
  const images = await imagesIn(sandbox);
  expect(images.filter(({ status }) => !SETTLED.includes(status))).toEqual([]);
  const active = images.filter(({ status }) => status === 'active').map(({ id }) => id);
  const files = await filesBelow(join(sandbox.stateDir, 'registry'));
  const strays = files.filter(
    (file) => !/^images\/[^/]+\/record\//.test(file) && !active.some((id) => file.includes(id)),
  );
  expect(strays.filter((file) => !file.startsWith('aliases/'))).toEqual([]);
}

/** Returns every image of the sandbox's registry, also killed ones. */
export async function imagesIn(sandbox: Sandbox): Promise<ImageRecord[]> {
  const registry = await openRegistry(join(sandbox.stateDir, 'registry'));
  const images: ImageRecord[] = [];
  for await (const image of registry.listImages({ all: true })) images.push(image);
  return images;
}

async function filesBelow(folder: string): Promise<string[]> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true }).catch(() => []);
  return entries
    .filter((entry) => entry.isFile())
    .map((entry) => join(entry.parentPath, entry.name).slice(folder.length + 1));
}

/** Expects that no other user can read a file or list a folder below the folder. */
export async function expectUnreadable(folder: string): Promise<void> {
  const entries = await readdir(folder, { recursive: true, withFileTypes: true });
  const rights = await Promise.all(
    entries.map(async ({ parentPath, name }) => {
      const facts = await lstat(join(parentPath, name));
      const open = facts.mode & (facts.isDirectory() ? 0o066 : 0o077);
      return open === 0 ? [] : [`${name}: ${(facts.mode & 0o777).toString(8)}`];
    }),
  );
  expect(rights.flat()).toEqual([]);
}
