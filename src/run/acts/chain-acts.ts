// The acts `commit`, `pull` and `pause`: the block jobs that shorten a backing chain, and a pause of the vCPUs.
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
import { type DiskDescription, layerPaths, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { GuestAct, GuestScope } from '../guest-scope.ts';
import { type GuestContext, virsh } from './guest-context.ts';

export interface ChainJobData {
  target: string;
  /** Paths of the layers that the job removes from the chain. */
  removed: string[];
  /** The layer that is written to. */
  into: string;
}

const { PULL, COMMIT, ACTIVE_COMMIT } = VIR_DOMAIN_BLOCK_JOB_TYPE;
const END_MS = 30_000;

export const commit = chainAct('commit', [COMMIT, ACTIVE_COMMIT]);
export const pull = chainAct('pull', [PULL]);

export interface PauseData {
  /** libvirt's id of the running guest: a new one after each start. */
  guestId: number | null;
}

/** A pause of the guest's vCPUs. Its undo resumes the guest. */
export const pause: GuestAct<PauseData | null, GuestContext> = {
  name: 'pause',
  async undo({ host, uuid, rebooted }, data) {
    // A guest that was started since was not paused by this run.
    if (rebooted) return undefined;
    const domain = await host.domain(uuid);
    if (!(domain && (await domain.isActive()))) return undefined;
    if (data && data.guestId !== (await domain.getID())) return undefined;
    const { state, reason } = await domain.getState();
    if (state === 'paused' && reason === VIR_DOMAIN_PAUSED_USER) await domain.resume();
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }) => `${virsh(host)} resume ${virshDomain(domain)}`,
};

/** Pauses the guest until `scope` undoes it. */
export async function pauseGuest(scope: GuestScope<GuestContext>, domain: Domain): Promise<void> {
  const guestId = await domain.getID();
  await scope.perform(pause, { guestId }, () => domain.suspend());
}

/** Returns the paths of the layers of a running domain's disk, the active one first. */
export async function livePaths(domain: Domain, target: string): Promise<(string | null)[]> {
  const disk = await liveDisk(domain, target);
  return disk ? layerPaths(disk) : [];
}

async function liveDisk(domain: Domain, target: string): Promise<DiskDescription | undefined> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(VIR_DOMAIN_XML_SECURE));
  return disks.find((candidate) => candidate.target === target);
}

/**
 * NOTE: an abort without pivot does not change the data of the chain at any moment of such a job: the
 * layers above mask what a commit wrote below, and a pull copies data from below into the layer above. A job that
 * has finished needs no undo.
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
      // A job ends with its QEMU: a job after a restart of the host is another client's.
      if (!rebooted) await endJob(domain, data, types);
      const left = await livePaths(domain, target);
      if (removed.some((path) => left.includes(path))) return undefined;
      return `the ${name} on disk ${target} had finished: the chain is shorter, and no longer uses these files: ${removed.join(', ')}`;
    },
    recoveryCommand: ({ host, ...domain }, { target }) =>
      `${virsh(host)} blockjob ${virshDomain(domain)} ${shellQuote(target)} --abort`,
  };
}

/** Ends the job. No job ran when this run started its own, under the domain's lock, so the job is its own. */
async function endJob(domain: Domain, data: ChainJobData, types: readonly number[]): Promise<void> {
  const { target } = data;
  const isOver = async () => {
    const job = await domain.blockJobInfo(target);
    if (job === undefined || !types.includes(job.type)) return true;
    if (!(await isJobOfRun(domain, data))) return true;
    await domain.blockJobAbort(target, 0).catch((error: unknown) => {
      // It has just ended, or is ending: a pivot cannot be aborted.
      const isEnding = ENDING.some((code) => isLibvirtError(error, code));
      if (!isEnding) throw error;
    });
    return false;
  };
  if (await pollUntil(isOver, { timeoutMs: END_MS, pollMs: 200 })) return;
  throw new Error(`the block job on disk ${target} did not end within ${END_MS / 1000} s`);
}

/** A job that began after this run's had ended works on another chain, or into another layer. */
async function isJobOfRun(
  domain: Domain,
  { target, removed, into }: ChainJobData,
): Promise<boolean> {
  const disk = await liveDisk(domain, target);
  if (!disk) return false;
  const writesTo = disk.mirror?.path ?? null;
  if (writesTo !== null && !(await isOneOf(writesTo, [into]))) return false;
  for (const path of layerPaths(disk)) {
    if (path !== null && (await isOneOf(path, removed))) return true;
  }
  return false;
}

/** Compares paths, and their real paths only if that is not enough. */
async function isOneOf(path: string, others: readonly string[]): Promise<boolean> {
  if (others.includes(path)) return true;
  const real = await realPath(path);
  return (await Promise.all(others.map(realPath))).includes(real);
}

function realPath(path: string): Promise<string> {
  return realpath(path).catch(() => path);
}

const ENDING = [VIR_ERR.INVALID_ARG, VIR_ERR.OPERATION_INVALID];
