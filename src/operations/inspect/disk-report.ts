// Reports one disk of a domain before it is taken, with all its obstacles.
import { type CaptureRequest, planCapture } from '../../capture/plan.ts';
import { ERROR_CATALOGUE } from '../../core/error-catalogue.ts';
import { PublishError } from '../../core/errors.ts';
import {
  type DiskFacts,
  factsOf,
  type LayerFacts,
  OutsideLayer,
  outsideFacts,
  type ReadOptions,
  reportLayer,
  walkChain,
} from '../../domain/chain/backing-chain.ts';
import { chooseDisk, type LocalDisk } from '../../domain/choose-disk.ts';
import { assertDiskIdle, type DomainFacts } from '../../domain/inspect.ts';
import { readRemoteFacts } from '../../domain/remote-disk.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { VIR_DOMAIN_BLOCK_JOB_TYPE } from '../../libvirt/ffi/constants.ts';
import type { DiskDescription } from '../../libvirt/xml/domain-xml.ts';
import type { ChosenWay, DiskReport, Obstacle, Verdict } from './inspect-types.ts';

export interface DiskReportOptions {
  requested: CaptureRequest;
  opened: ReadOptions['opened'];
  timeoutMs: number;
  signal: AbortSignal;
}

/** Returns the disk, and what a snapshot of it would fail with. */
export async function reportDisk(
  domain: Domain,
  facts: DomainFacts,
  disk: DiskDescription,
  options: DiskReportOptions,
): Promise<{ report: DiskReport; obstacles: Obstacle[] }> {
  const { target, device, bus, type, format, bootOrder, readonly, shareable } = disk;
  const found = new Obstacles(target);
  const source = disk.remote?.label ?? disk.source;
  const walked: LayerFacts[] = [];
  let outside = false;
  await found.during(async () => {
    const local = chooseDisk(facts.description, target);
    await found.during(() => assertDiskIdle(domain, local, facts.active));
    const { timeoutMs, signal, opened } = options;
    const reading = { shared: facts.active, opened, timeoutMs, signal };
    outside = await readLayers(domain, local, walked, reading);
  });
  const layers = walked.map(reportLayer);
  const [top, ...below] = walked;
  const seen = top ? factsOf([top, ...below], outside) : outsideFacts(0);
  const ways = found.list.length > 0 ? blocked(found.list) : waysOf(facts, disk, seen, options);
  if (ways.chosen === null && found.list.length === 0) found.add(ways.live.reason);
  return {
    report: {
      ...{ target, device, bus, type, source, format, bootOrder, readonly, shareable, layers },
      ...{ isRoot: isRoot(facts, target), job: await jobOf(domain, facts, target), ...ways },
    },
    obstacles: found.list,
  };
}

/** Returns whether a part of the disk is outside this host, so that only its running QEMU can read it. */
async function readLayers(
  domain: Domain,
  disk: LocalDisk,
  layers: LayerFacts[],
  options: ReadOptions,
): Promise<boolean> {
  if (disk.remote !== null) return (await readRemoteFacts(domain, disk, options)).outside;
  try {
    for await (const layer of walkChain(disk, options)) layers.push(layer);
    return false;
  } catch (error) {
    if (error instanceof OutsideLayer && options.shared) return true;
    throw error;
  }
}

type Ways = Pick<DiskReport, 'live' | 'cold' | 'chosen'>;

function blocked(obstacles: readonly Obstacle[]): Ways {
  const verdict = { possible: false, reason: obstacles.map(({ message }) => message).join('; ') };
  return { live: verdict, cold: verdict, chosen: null };
}

/** Decides as `snapshot` does. */
function waysOf(
  domain: DomainFacts,
  disk: DiskDescription,
  facts: DiskFacts,
  { requested }: DiskReportOptions,
): Ways {
  const local = chooseDisk(domain.description, disk.target);
  const inspection = { ...domain, disks: [{ disk: local, facts }] as const };
  const plan = (mode: CaptureRequest['mode']) => {
    const { detaches, ...way } = planCapture(inspection, { ...requested, mode });
    return { ...way, detaches: detaches.map(({ address }) => address) };
  };
  return {
    live: verdictOf(() => plan('live')),
    cold: verdictOf(() => plan('cold')),
    chosen: attempt(() => plan('auto')),
  };
}

function verdictOf(plan: () => ChosenWay): Verdict {
  try {
    const { mode, modeReason, method, methodReason } = plan();
    if (mode === 'cold') return { possible: true, reason: 'the guest sleeps in a managed save' };
    const how = method === null ? modeReason : `method ${method}: ${methodReason}`;
    return { possible: true, reason: how };
  } catch (error) {
    if (error instanceof PublishError) return { possible: false, reason: error.message };
    throw error;
  }
}

function attempt(plan: () => ChosenWay): ChosenWay | null {
  try {
    const { mode, modeReason, method, methodReason, undefines, detaches } = plan();
    return { mode, modeReason, method, methodReason, undefines, detaches };
  } catch (error) {
    if (error instanceof PublishError) return null;
    throw error;
  }
}

function isRoot({ description }: DomainFacts, target: string): boolean {
  try {
    return chooseDisk(description, undefined).target === target;
  } catch (error) {
    // The obstacles of the root disk are reported with that disk.
    if (error instanceof PublishError) return false;
    throw error;
  }
}

async function jobOf(
  domain: Domain,
  { active }: DomainFacts,
  target: string,
): Promise<DiskReport['job']> {
  const job = active ? await domain.blockJobInfo(target) : undefined;
  if (!job) return null;
  const [name = 'unknown'] =
    Object.entries(VIR_DOMAIN_BLOCK_JOB_TYPE).find(([, number]) => number === job.type) ?? [];
  return { type: name.toLowerCase().replace('_', '-'), cur: job.cur, end: job.end };
}

/** Obstacles, collected instead of thrown. */
class Obstacles {
  readonly list: Obstacle[] = [];
  readonly #target: string;

  constructor(target: string) {
    this.#target = target;
  }

  add(message: string): void {
    const code = 'DISK_UNSUPPORTED';
    const { hint } = ERROR_CATALOGUE[code];
    this.list.push({ target: this.#target, code, message, hint });
  }

  async during(work: () => Promise<void>): Promise<void> {
    try {
      await work();
    } catch (error) {
      if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
      const { code, message, hint } = error;
      this.list.push({ target: this.#target, code, message, hint });
    }
  }
}
