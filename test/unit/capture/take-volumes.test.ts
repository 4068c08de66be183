// The order in which the volumes of a domain are taken, and when they are not of one point in time.
import { mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { afterEach, beforeEach, expect, test } from 'vitest';
import { takeVolumes } from '#built/capture/volumes/take-volumes.js';
import type { VolumesRun } from '#built/capture/volumes/volumes-run.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';
import { guestActs } from '#built/run/acts/guest-acts.js';
import { GuestScope } from '#built/run/guest-scope.js';
import { Journal } from '#built/run/journal/journal.js';

let runPath: string;
let calls: string[];
beforeEach(async () => {
  runPath = await mkdtemp(join(tmpdir(), 'vp-unit-'));
  calls = [];
});
afterEach(() => rm(runPath, { recursive: true }));

interface Guest {
  active: boolean;
  /** Whether it runs once its volumes are taken. */
  activeAfter?: boolean;
  hasManagedSave?: boolean;
  /** The folders of its two volumes as it runs now. */
  seen?: [string, string];
}

function domainXmlOn(...folders: [string, string]): string {
  const disks = ['a', 'b'].map(
    (name, index) =>
      `<disk type='block' device='disk'><source dev='${folders[index]}/${name}'/><target dev='${name}'/></disk>`,
  );
  return `<domain><devices>${disks.join('')}</devices></domain>`;
}

/** Two LVM volumes, and a guest that is not frozen. */
async function take({
  active,
  activeAfter = active,
  hasManagedSave = false,
  seen = ['/dev/vg', '/dev/vg'],
}: Guest) {
  let isPaused = false;
  const domain = {
    ...{ name: 'web', uuid: 'u' },
    getID: () => Promise.resolve(7),
    getXMLDesc: () => Promise.resolve(domainXmlOn(...seen)),
    isActive: () => Promise.resolve(activeAfter),
    getState: () =>
      Promise.resolve({ state: isPaused ? 'paused' : 'running', reason: isPaused ? 1 : 0 }),
    suspend: async () => {
      calls.push('suspend');
      isPaused = true;
    },
    resume: async () => {
      calls.push('resume');
      isPaused = false;
    },
  };
  const storage = {
    volumeByName: (_pool: string, name: string) => Promise.resolve({ name }),
    createSnapshotVolume: async (_origin: unknown, name: string) => {
      calls.push(name);
    },
  };
  const host = { domain: () => Promise.resolve(domain), work: () => Promise.resolve({ storage }) };
  const journal = await Journal.create(join(runPath, 'journal.ndjson'));
  const context = { host, name: 'web', uuid: 'u' } as never;
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote: () => undefined });
  const volumes = ['a', 'b'].map((name) => {
    return { target: name, pool: 'vg', volume: name, snapshot: `${name}-vp`, overlay: null };
  });
  const description = parseDomainXml(domainXmlOn('/dev/vg', '/dev/vg'));
  const run = {
    ...{ host, domain, description, active, hasManagedSave, runPath, journal, scope },
    ...{ volumes: { kind: 'volume', volumes }, inspection: { name: 'web', agent: 'none' } },
    ...{ plan: { quiesce: 'off' }, timeouts: { freezeMs: 10_000 }, onEvent: () => undefined },
    signal: new AbortController().signal,
  } as unknown as VolumesRun;
  try {
    return await takeVolumes(run);
  } finally {
    await journal.close();
  }
}

test('`takeVolumes` pauses an unfrozen guest while it takes volumes one after the other', async () => {
  expect(await take({ active: true })).toEqual({ consistency: 'crash', freezeMs: null });
  expect(calls).toEqual(['suspend', 'a-vp', 'b-vp', 'resume']);
});

test('`takeVolumes` does not touch a guest that is off, and its image is `offline`-consistent', async () => {
  expect((await take({ active: false })).consistency).toBe('offline');
  expect(calls).toEqual(['a-vp', 'b-vp']);
});

test('`takeVolumes` of a domain with a managed save makes a `crash`-consistent image', async () => {
  expect((await take({ active: false, hasManagedSave: true })).consistency).toBe('crash');
});

test('`takeVolumes` rejects a guest that was started meanwhile', async () => {
  const taking = take({ active: false, activeAfter: true });
  await expect(taking).rejects.toMatchObject({ code: 'VOLUMES', retryable: true });
});

test('`takeVolumes` rejects a disk that another client moved to another volume', async () => {
  const taking = take({ active: true, seen: ['/dev/vg', '/dev/other'] });
  await expect(taking).rejects.toMatchObject({ code: 'DOMAIN_BUSY', retryable: true });
  expect(calls).toEqual([]);
});
