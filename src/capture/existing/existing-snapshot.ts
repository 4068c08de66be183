// The disks of a domain as a snapshot that exists has them: where they are, and whether they still are so.
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

/** The last writes of a guest may reach a file a little after libvirt has noted the time. */
const WRITE_SLACK_S = 60;

/**
 * The domain as it was at that snapshot, with the disks to take.
 * @throws PublishError DISK_UNSUPPORTED where there is no such snapshot, or a disk cannot be had.
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
    const wished = shellQuote(request.name);
    refuse(
      `domain ${facts.name} has no snapshot ${wished}; it has: ${names}${nameHint(request.name)}`,
    );
  }
  const snapshot = parseSnapshotXml(xml);
  const { domainXml } = snapshot;
  if (domainXml === null) {
    refuse(`snapshot ${request.name} of domain ${facts.name} does not say how the domain was`);
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
 * Says that libvirt may have refused to make a snapshot of that name; empty if it cannot have.
 *
 * NOTE: libvirt 11 makes the id of a QEMU job out of the name, and QEMU refuses other characters in it.
 */
function nameHint(name: string): string {
  if (/^[\w.-]*$/.test(name)) return '';
  return '. libvirt 11 refuses an internal snapshot of a running domain ("Invalid job ID") if its name has other characters than A-Z a-z 0-9 . _ -';
}

function describe({ name, createdAt, memory, state }: SnapshotDescription): ExistingSnapshot {
  return {
    name,
    createdAt: createdAt === null ? null : new Date(createdAt * 1000).toISOString(),
    // Whether the guest was frozen for it nobody wrote down; what was off had nothing in flight.
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
  refuse(
    `snapshot ${snapshot.name} of domain ${facts.name} does not cover disk ${named}; it covers: ${covered.join(', ') || 'none'}. Name one of these with --disk`,
  );
}

/** The oldest internal snapshots list no disks: they cover all. */
function kindOf({ disks }: SnapshotDescription, { target, source }: LocalDisk) {
  const entry = disks.find(({ name }) => name === target || name === source);
  return entry?.kind ?? (disks.length === 0 ? 'internal' : 'no');
}

async function findDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const kind = kindOf(found.snapshot, disk);
  if (disk.remote !== null) refuse(`disk ${disk.target} was on ${disk.source}, outside this host`);
  if (kind === 'internal') return internalDisk(found, disk);
  if (kind === 'external') return frozenDisk(found, disk);
  return refuse(
    `disk ${disk.target} in snapshot ${found.name} of domain ${found.facts.name} was made by other means than libvirt's; take it by those`,
  );
}

/**
 * NOTE: an internal snapshot can be read while a guest writes to its file. Its tables and clusters
 * are counted, so the guest's writes go elsewhere as long as it exists; its table of clusters is
 * read from the place that the header names, and was flushed when the snapshot was made. Without a
 * lock (`shared`), so that a start of the domain is not in the way of this, nor this of that.
 */
async function internalDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const { snapshot, timeoutMs, signal } = found;
  const reading = { shared: true, opened: null, timeoutMs, signal };
  const { snapshots } = await info({ path: disk.source, format: disk.format, ...reading });
  const inside = snapshots.find(({ name }) => name === snapshot.name);
  if (!inside) {
    refuse(
      `disk ${disk.target}: ${disk.source} holds no internal snapshot ${snapshot.name} any more`,
    );
  }
  const facts = await readDiskFacts(disk, reading);
  if (facts.outside) refuse(`disk ${disk.target} reads a layer outside this host`);
  for (const { path } of facts.backingChain) await assertUnchanged(found, disk, path);
  return { disk, facts, snapshot: { id: inside.id, name: inside.name } };
}

/**
 * What an external snapshot froze: the disk's own file at that time, which is a backing file since.
 *
 * NOTE: `qemu-img info` asks for QEMU's locks here, and fails where anybody has the file open to
 * write to it.
 */
async function frozenDisk(found: Found, disk: LocalDisk): Promise<InspectedDisk> {
  const { timeoutMs, signal } = found;
  await assertUnchanged(found, disk, disk.source);
  const facts = await readDiskFacts(disk, { shared: false, opened: null, timeoutMs, signal });
  for (const { path } of facts.backingChain) await assertUnchanged(found, disk, path);
  return { disk, facts };
}

/**
 * NOTE: a commit writes into a file that a snapshot needs as it is, and QEMU minds no snapshot's
 * metadata. The file is the active one then, or has a later time.
 */
async function assertUnchanged(
  { facts, snapshot }: Found,
  { target }: LocalDisk,
  path: string,
): Promise<void> {
  const who = `disk ${target} in snapshot ${snapshot.name} of domain ${facts.name}`;
  if (facts.description.disks.some(({ source }) => source === path)) {
    refuse(`${who}: its file ${path} is the active one again, and no longer what it was`);
  }
  const found = await stat(path).catch(() => null);
  if (found === null) refuse(`${who}: its file ${path} is not there any more`);
  const { createdAt, memory } = snapshot;
  // With memory in a file the disks are frozen when all of it is written: at no time that is known.
  if (memory === 'external' || createdAt === null || !found.isFile()) return;
  if (found.mtimeMs / 1000 <= createdAt + WRITE_SLACK_S) return;
  refuse(`${who}: its file ${path} was written to since, and is no longer what it was`);
}

function refuse(message: string): never {
  throw new PublishError('DISK_UNSUPPORTED', message, { step: 'inspect' });
}
