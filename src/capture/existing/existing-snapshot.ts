// Inspects an existing snapshot of a domain: finds its disks, and checks that they are unchanged.
import { stat } from 'node:fs/promises';
import { PublishError } from '../../core/errors.ts';
import { shellQuote } from '../../core/shell-quote.ts';
import { readDiskFacts } from '../../domain/chain/backing-chain.ts';
import { chooseDisks, type DiskSelection, type LocalDisk } from '../../domain/choose-disk.ts';
import type {
  DomainFacts,
  ExistingSnapshot,
  InspectedDisk,
  Inspection,
} from '../../domain/inspect.ts';
import { placeVolumes } from '../../domain/remote-disk.ts';
import { markSeeds } from '../../domain/seed-disk.ts';
import type { Connection } from '../../libvirt/connection.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { parseSnapshotXml, type SnapshotDescription } from '../../libvirt/xml/snapshot-xml.ts';
import { info } from '../../qemu/qemu-img.ts';
import type { CapturePlan } from '../plan.ts';

export interface SnapshotRequest {
  connection: Pick<Connection, 'lookupVolume'>;
  name: string;
  disks: DiskSelection;
  timeoutMs: number;
  signal: AbortSignal;
}

interface Found extends SnapshotRequest {
  facts: DomainFacts;
  snapshot: SnapshotDescription;
}

/** The last writes of a guest may reach a file shortly after the time that libvirt noted. */
const WRITE_SLACK_S = 60;

/**
 * Returns the domain at the time of that snapshot, with the disks to take.
 * @throws PublishError DISK_UNSUPPORTED if there is no such snapshot, or a disk cannot be taken
 */
export async function inspectSnapshot(
  domain: Domain,
  facts: DomainFacts,
  request: SnapshotRequest,
): Promise<{ inspection: Inspection; capture: CapturePlan }> {
  const all = await domain.listSnapshots();
  const xml = all.find(({ name }) => name === request.name)?.xml;
  if (xml === undefined) {
    const names = all.map(({ name }) => shellQuote(name)).join(', ') || 'none';
    fail(
      `domain ${facts.name} has no snapshot ${shellQuote(request.name)}; it has: ${names}`,
      `name one of its snapshots${nameHint(request.name)}`,
    );
  }
  const snapshot = parseSnapshotXml(xml);
  const { domainXml } = snapshot;
  if (domainXml === null) {
    fail(`snapshot ${request.name} of domain ${facts.name} has no domain XML`);
  }
  const placed = await placeVolumes(request.connection, parseDomainXml(domainXml));
  const description = await markSeeds(placed, request);
  const found = { ...request, facts, snapshot };
  const [root, ...others] = chooseDisks(description, request.disks);
  assertCovered(found, [root, ...others]);
  const disks = [
    await findDisk(found, root),
    ...(await Promise.all(others.map((disk) => findDisk(found, disk)))),
  ] as const;
  const existing = describe(snapshot);
  const inspection = { ...facts, inactiveXml: domainXml, description, disks, existing };
  return { inspection, capture: planOf(existing) };
}

/**
 * Returns a hint that libvirt may have rejected a snapshot of that name; empty if it cannot have.
 *
 * NOTE: libvirt 11 makes the id of a QEMU job from the name, and QEMU rejects other characters in it.
 */
function nameHint(name: string): string {
  if (/^[\w.-]*$/.test(name)) return '';
  return '; libvirt 11 cannot make an internal snapshot of a running domain ("Invalid job ID") if the name has characters other than A-Z a-z 0-9 . _ -';
}

function describe({ name, createdAt, memory, state }: SnapshotDescription): ExistingSnapshot {
  return {
    name,
    createdAt: createdAt === null ? null : new Date(createdAt * 1000).toISOString(),
    // Whether the guest was frozen is not recorded; a guest that was off had no writes in flight.
    consistency: memory === 'no' && state === 'shutoff' ? 'offline' : 'crash',
  };
}

function planOf({ name, createdAt }: ExistingSnapshot): CapturePlan {
  const modeReason = `snapshot ${name}${createdAt === null ? '' : ` of ${createdAt}`}`;
  return {
    ...{ mode: 'existing', modeReason, method: null, methodReason: null, quiesce: 'off' },
    ...{ pauses: false, undefines: [], detaches: [] },
  };
}

function assertCovered({ snapshot, facts }: Found, disks: readonly LocalDisk[]): void {
  const missing = disks.filter((disk) => kindOf(snapshot, disk) === 'no');
  if (missing.length === 0) return;
  const covered = snapshot.disks.filter(({ kind }) => kind !== 'no').map((disk) => disk.name);
  const named = missing.map(({ target }) => target).join(', ');
  fail(
    `snapshot ${snapshot.name} of domain ${facts.name} does not cover disk ${named}; it covers: ${covered.join(', ') || 'none'}`,
    'choose one of these with --disk',
  );
}

/** The oldest internal snapshots list no disks: they cover all disks. */
function kindOf({ disks }: SnapshotDescription, { target, source }: LocalDisk) {
  const entry = disks.find(({ name }) => name === target || name === source);
  return entry?.kind ?? (disks.length === 0 ? 'internal' : 'no');
}

async function findDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const kind = kindOf(found.snapshot, disk);
  if (disk.remote !== null) fail(`disk ${disk.target} was on ${disk.source}, outside this host`);
  if (kind === 'internal') return internalDisk(found, disk);
  if (kind === 'external') return frozenDisk(found, disk);
  return fail(
    `another tool than libvirt made the snapshot of disk ${disk.target} in ${found.name} of domain ${found.facts.name}`,
    'read it with that tool',
  );
}

/**
 * NOTE: an internal snapshot can be read while a guest writes to its file. Its tables and clusters have
 * a reference count, so the guest's writes go to other clusters while it exists; its cluster table was
 * flushed when the snapshot was made. It is read without a lock (`shared`), so that reading and a start
 * of the domain do not block each other.
 */
async function internalDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const { snapshot, timeoutMs, signal } = found;
  const reading = { shared: true, opened: null, timeoutMs, signal };
  const { snapshots } = await info({ path: disk.source, format: disk.format, ...reading });
  const inside = snapshots.find(({ name }) => name === snapshot.name);
  if (!inside) {
    fail(
      `disk ${disk.target}: ${disk.source} no longer has the internal snapshot ${snapshot.name}`,
    );
  }
  const facts = await readDiskFacts(disk, reading);
  if (facts.outside) fail(`disk ${disk.target} reads a layer outside this host`);
  for (const { path } of facts.backingChain) await assertUnchanged(found, disk, path);
  return { disk, facts, snapshot: { id: inside.id, name: inside.name } };
}

/**
 * An external snapshot: the disk's own file at that time, which is a backing file since.
 *
 * NOTE: `qemu-img info` takes QEMU's locks here, and fails if a process has the file open for writing.
 */
async function frozenDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const { timeoutMs, signal } = found;
  await assertUnchanged(found, disk, disk.source);
  const facts = await readDiskFacts(disk, { shared: false, opened: null, timeoutMs, signal });
  for (const { path } of facts.backingChain) await assertUnchanged(found, disk, path);
  return { disk, facts };
}

/**
 * NOTE: a commit writes into a file that a snapshot needs unchanged, since QEMU does not know libvirt's
 * snapshot metadata. The file is the active layer then, or has a later time.
 */
async function assertUnchanged(
  { facts, snapshot }: Found,
  { target }: LocalDisk,
  path: string,
): Promise<void> {
  const who = `disk ${target} in snapshot ${snapshot.name} of domain ${facts.name}`;
  if (facts.description.disks.some(({ source }) => source === path)) {
    fail(`${who}: its file ${path} is the active layer again, so its content changed`);
  }
  const found = await stat(path).catch(() => null);
  if (found === null) fail(`${who}: its file ${path} is missing`);
  const { createdAt, memory } = snapshot;
  // With memory in a file, the disks are frozen when it is written completely: at an unknown time.
  if (memory === 'external' || createdAt === null || !found.isFile()) return;
  if (found.mtimeMs / 1000 <= createdAt + WRITE_SLACK_S) return;
  fail(`${who}: its file ${path} was written to since, so its content changed`);
}

function fail(
  message: string,
  hint = 'choose another snapshot, or publish the present state',
): never {
  throw new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect', hint });
}
