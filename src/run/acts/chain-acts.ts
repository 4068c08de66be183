// The block jobs that shorten a backing chain, and how an unfinished one is taken back.
import { realpath } from 'node:fs/promises';
import { pollUntil } from '../../core/poll.ts';
import { shellQuote, virshDomain } from '../../core/shell-quote.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import {
  VIR_DOMAIN_BLOCK_JOB_TYPE,
  VIR_DOMAIN_PAUSED_USER,
  VIR_DOMAIN_XML_SECURE,
} from '../../libvirt/ffi/constants.ts';
import { type DiskDescription, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { GuestAct, GuestScope } from '../guest-scope.ts';
import type { GuestContext } from './guest-context.ts';

export interface ChainJobData {
  target: string;
  /** Paths of the layers that are in the chain before the job, and not after it. */
  removed: string[];
  /** The layer that is written to. */
  into: string;
}

const { PULL, COMMIT, ACTIVE_COMMIT } = VIR_DOMAIN_BLOCK_JOB_TYPE;
const END_MS = 30_000;

export const commit = chainAct('commit', [COMMIT, ACTIVE_COMMIT]);
export const pull = chainAct('pull', [PULL]);

export interface PauseData {
  /** libvirt's id of the running guest: another one after each start. */
  guestId: number | null;
}

/** The guest stands still for a moment. */
export const pause: GuestAct<PauseData | null, GuestContext> = {
  name: 'pause',
  async undo({ host, uuid, rebooted }, data) {
    // Whatever guest there is now, it was not this run that paused it.
    if (rebooted) return undefined;
    const domain = await host.domain(uuid);
    if (!(domain && (await domain.isActive()))) return undefined;
    if (data && data.guestId !== (await domain.getID())) return undefined;
    const { state, reason } = await domain.getState();
    if (state === 'paused' && reason === VIR_DOMAIN_PAUSED_USER) await domain.resume();
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }) =>
    `virsh -c ${shellQuote(host.uri)} resume ${virshDomain(domain)}`,
};

/** Pauses the guest until `scope` takes that back. */
export async function pauseGuest(scope: GuestScope<GuestContext>, domain: Domain): Promise<void> {
  const guestId = await domain.getID();
  await scope.perform(pause, { guestId }, () => domain.suspend());
}

/** The paths of a running domain's disk, the active layer first. */
export async function livePaths(domain: Domain, target: string): Promise<(string | null)[]> {
  const disk = await liveDisk(domain, target);
  return disk ? pathsOf(disk) : [];
}

async function liveDisk(domain: Domain, target: string): Promise<DiskDescription | undefined> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(VIR_DOMAIN_XML_SECURE));
  return disks.find((candidate) => candidate.target === target);
}

function pathsOf({ source, backingChain }: DiskDescription): (string | null)[] {
  return [source, ...backingChain.map(({ path }) => path)];
}

/**
 * NOTE: an abort without pivot leaves a chain that reads as before at any moment of such a job: what
 * a commit has written below is masked by the layers above, and what a pull has written above is
 * what lay below. Where the job had come to its end, there is nothing to take back.
 */
function chainAct(
  name: 'commit' | 'pull',
  types: readonly number[],
): GuestAct<ChainJobData, GuestContext> {
  return {
    name,
    async undo({ host, uuid, rebooted }, data) {
      const { target, removed } = data;
      const domain = await host.domain(uuid);
      if (!(domain && (await domain.isActive()))) return undefined;
      // No job outlives its QEMU: what there is after a restart of the host is somebody else's.
      if (!rebooted) await endJob(domain, data, types);
      const left = await livePaths(domain, target);
      if (removed.some((path) => left.includes(path))) return undefined;
      return `the ${name} on disk ${target} had come to its end: the chain is shorter, and these files are not used by it any more: ${removed.join(', ')}`;
    },
    recoveryCommand: ({ host, ...domain }, { target }) =>
      `virsh -c ${shellQuote(host.uri)} blockjob ${virshDomain(domain)} ${shellQuote(target)} --abort`,
  };
}

/** There was no job when ours began, under the domain's lock; so one like it is ours. */
async function endJob(domain: Domain, data: ChainJobData, types: readonly number[]): Promise<void> {
  const { target } = data;
  const isOver = async () => {
    const job = await domain.blockJobInfo(target);
    if (job === undefined || !types.includes(job.type)) return true;
    if (!(await isOurs(domain, data))) return true;
    await domain.blockJobAbort(target, 0).catch((error: unknown) => {
      // It has just ended, or is at its end already: a pivot is not called back.
      const isEnding = ENDING.some((code) => isLibvirtError(error, code));
      if (!isEnding) throw error;
    });
    return false;
  };
  if (await pollUntil(isOver, { timeoutMs: END_MS, pollMs: 200 })) return;
  throw new Error(`the block job on disk ${target} did not end within ${END_MS / 1000} s`);
}

/** One that began when ours was long over works on another chain, or into another layer. */
async function isOurs(domain: Domain, { target, removed, into }: ChainJobData): Promise<boolean> {
  const disk = await liveDisk(domain, target);
  if (!disk) return false;
  const writesTo = disk.mirror?.path ?? null;
  if (writesTo !== null && !(await isOneOf(writesTo, [into]))) return false;
  for (const path of pathsOf(disk)) {
    if (path !== null && (await isOneOf(path, removed))) return true;
  }
  return false;
}

/** A path may be spelled in more than one way; the file system is asked only where it must be. */
async function isOneOf(path: string, others: readonly string[]): Promise<boolean> {
  if (others.includes(path)) return true;
  const real = await realPath(path);
  return (await Promise.all(others.map(realPath))).includes(real);
}

function realPath(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

const ENDING = [VIR_ERR.INVALID_ARG, VIR_ERR.OPERATION_INVALID];
