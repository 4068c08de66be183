// Inspects a domain and its disks; changes nothing.
import { PublishError } from '../core/errors.ts';
import type { OnEvent } from '../core/events.ts';
import type { Consistency } from '../core/model.ts';
import { shellQuote, virshDomain } from '../core/shell-quote.ts';
import { type AgentAnswer, askAgent } from '../libvirt/ask-agent.ts';
import type { Connection } from '../libvirt/connection.ts';
import type { Domain, DomainState } from '../libvirt/domain.ts';
import { VIR_DOMAIN_XML_INACTIVE, VIR_DOMAIN_XML_SECURE } from '../libvirt/ffi/constants.ts';
import { type DomainDescription, parseDomainXml } from '../libvirt/xml/domain-xml.ts';
import type { SnapshotRef } from '../qemu/qemu-img.ts';
import { type DiskFacts, type ReadOptions, readDiskFacts } from './chain/backing-chain.ts';
import {
  type ChosenDisks,
  chooseDisks,
  type DiskSelection,
  type LocalDisk,
} from './choose-disk.ts';
import { type AskedOf, missingNeeds } from './missing-needs.ts';
import { readOpenFiles } from './open-files.ts';
import { placeVolumes, readRemoteFacts } from './remote-disk.ts';
import { markSeeds } from './seed-disk.ts';

/** A snapshot of the domain that existed before the run. */
export interface ExistingSnapshot {
  name: string;
  /** ISO 8601; null if libvirt does not report it. */
  createdAt: string | null;
  consistency: Consistency;
}

/** A disk to be taken, with the facts of its layers. */
export interface InspectedDisk {
  disk: LocalDisk;
  facts: DiskFacts;
  /** The internal snapshot in the disk's file that is taken instead of the present state. */
  snapshot?: SnapshotRef;
}

export interface Inspection {
  name: string;
  uuid: string;
  state: DomainState;
  active: boolean;
  persistent: boolean;
  autostart: boolean;
  /** INACTIVE|SECURE: what a redefine needs. Holds passwords. */
  inactiveXml: string;
  /** Read from the live XML if the domain runs, else from the stored XML. */
  description: DomainDescription;
  /** The root disk first. */
  disks: readonly [InspectedDisk, ...InspectedDisk[]];
  /** The existing snapshot that is taken. */
  existing?: ExistingSnapshot;
  /** What an undefine could lose. */
  snapshots: number;
  checkpoints: number;
  hasManagedSave: boolean;
  /** What this host lacks for a start of the running domain, for messages. */
  missing: readonly string[];
  /** Version of the libvirt library, 9000000 for 9.0.0: some flags are newer than others. */
  libvirtVersion: number;
  /**
   * `none`: no channel; `silent`: a channel, but no agent answers; `frozen`: it answers, and another
   * client has frozen the guest's file systems.
   */
  agent: AgentAnswer['agent'] | 'none';
  /** Whether the agent runs on Windows; false if it does not answer. */
  isWindows: boolean;
}

export interface InspectOptions {
  disks: DiskSelection;
  connection: Pick<Connection, 'lookupVolume'> & AskedOf;
  libvirtVersion: number;
  timeoutMs: number;
  agentTimeoutMs: number;
  signal: AbortSignal;
  onEvent?: OnEvent;
}

/** The facts of the domain without those of its disks. */
export type DomainFacts = Omit<Inspection, 'disks' | 'existing'>;

/** The facts that the guest's agent reports. */
type GuestFacts = Pick<Inspection, 'agent' | 'isWindows'>;

type AskOptions = Omit<InspectOptions, 'disks' | 'onEvent'>;

/**
 * Inspects a domain and the disks to be taken; changes nothing. `known`: the result of `readDomainFacts`.
 * @throws PublishError DISK_UNSUPPORTED; DOMAIN_BUSY if a block job runs on one of the disks
 */
export async function inspectDomain(
  domain: Domain,
  options: InspectOptions,
  known?: DomainFacts,
): Promise<Inspection> {
  const found = known ?? (await readDomain(domain, options));
  const { active, description } = found;
  const chosen = chooseDisks(description, options.disks);
  for (const disk of chosen) await assertDiskIdle(domain, disk, active);
  const { timeoutMs, signal, onEvent } = options;
  const opened = active ? await readOpenFiles(domain, onEvent) : null;
  const [disks, guest] = await Promise.all([
    readFacts(domain, chosen, { shared: active, opened, timeoutMs, signal }),
    known ?? askIfRunning(domain, found, options),
  ]);
  const { agent, isWindows } = guest;
  return { ...found, disks, agent, isWindows };
}

/** Reads the facts of a domain without its disks; changes nothing, and rejects no domain. */
export async function readDomainFacts(domain: Domain, options: AskOptions): Promise<DomainFacts> {
  const found = await readDomain(domain, options);
  return { ...found, ...(await askIfRunning(domain, found, options)) };
}

/** `readDomainFacts` without a call to the guest's agent. */
export async function readDomain(
  domain: Domain,
  { connection, libvirtVersion, timeoutMs, signal }: AskOptions,
): Promise<Omit<DomainFacts, keyof GuestFacts>> {
  const { state } = await domain.getState();
  const active = await domain.isActive();
  const persistent = await domain.isPersistent();
  const inactiveXml = await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE);
  const xml = active ? await domain.getXMLDesc(0) : inactiveXml;
  const seen = parseDomainXml(xml);
  const description = await markSeeds(await placeVolumes(connection, seen), { timeoutMs, signal });
  return {
    name: domain.name,
    uuid: domain.uuid,
    state,
    active,
    persistent,
    // NOTE: a transient domain has no autostart: libvirt returns an error.
    autostart: persistent && (await domain.getAutostart()),
    inactiveXml,
    description,
    libvirtVersion,
    snapshots: (await domain.listSnapshots()).length,
    checkpoints: (await domain.listCheckpoints()).length,
    missing: active ? await missingNeeds(domain, connection, xml) : [],
    hasManagedSave: persistent && (await domain.hasManagedSaveImage()),
  };
}

/** Returns the disk of a step for its event; undefined if there is only one. */
export function detailOf({ disks }: Pick<Inspection, 'disks'>, { target }: { target: string }) {
  return disks.length > 1 ? target : undefined;
}

async function readFacts(
  domain: Domain,
  [root, ...others]: ChosenDisks,
  options: ReadOptions,
): Promise<Inspection['disks']> {
  const read = async (disk: LocalDisk) => {
    const isRemote = disk.remote !== null;
    const facts = isRemote
      ? await readRemoteFacts(domain, disk, options)
      : await readDiskFacts(disk, options);
    return { disk, facts };
  };
  const [first, ...rest] = await Promise.all([read(root), ...others.map(read)]);
  return [first, ...rest];
}

/** @throws PublishError DOMAIN_BUSY if a block job runs on the disk */
export async function assertDiskIdle(
  domain: Domain,
  disk: Pick<LocalDisk, 'target' | 'mirror'>,
  active: boolean,
): Promise<void> {
  if (!active) return;
  const job = disk.mirror !== null || (await domain.blockJobInfo(disk.target)) !== undefined;
  if (!job) return;
  throw new PublishError(
    'DOMAIN_BUSY',
    `a block job runs on disk ${disk.target} of domain ${domain.name}`,
    {
      step: 'inspect',
      retryable: true,
      hint: `wait for it, or end it: virsh blockjob ${virshDomain(domain)} ${shellQuote(disk.target)} --abort`,
    },
  );
}

async function askIfRunning(
  domain: Domain,
  { description, state }: Pick<DomainFacts, 'description' | 'state'>,
  { agentTimeoutMs }: AskOptions,
): Promise<GuestFacts> {
  if (!description.hasAgentChannel) return { agent: 'none', isWindows: false };
  if (state !== 'running' && state !== 'blocked') return { agent: 'silent', isWindows: false };
  return { isWindows: false, ...(await askAgent(domain, agentTimeoutMs)) };
}
