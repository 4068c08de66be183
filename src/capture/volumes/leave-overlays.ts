// A domain leaves the overlays of its snapshot: each is committed into the volume below it.

import { basename, dirname } from 'node:path';
import { PublishError } from '../../core/errors.ts';
import { pollUntil } from '../../core/poll.ts';
import { virshDomain } from '../../core/shell-quote.ts';
import { readDiskChain } from '../../domain/chain/read-chain.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import {
  VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY,
  VIR_DOMAIN_XML_INACTIVE,
} from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { guestActs } from '../../run/acts/guest-acts.ts';
import { GuestScope } from '../../run/guest-scope.ts';
import {
  assertEnoughRoom,
  assertLayersUnused,
  assertNoSnapshotLost,
  assertReady,
  isOnFileSystem,
} from '../chain/chain-assertions.ts';
import { runChainJob } from '../chain/chain-job.ts';
import { type ChainPlan, planCommit } from '../chain/plan-chain.ts';
import { withReserveWatch } from '../reserve-watch.ts';
import type { RollBack } from './rollback-request.ts';

/** libvirt lets a call wait for the domain's job for 30 s, and gives it up then. */
const IN_FLIGHT_MS = 35_000;
const SETTLE_MS = 10_000;
const FREE_SOME = 'free some there, and run virt-publish recover';

/**
 * NOTE: what the guest has written since goes down into the volume that was frozen, and the guest
 * goes on in that; an overlay holds the guest's newest data, and is removed only when nothing of the
 * domain names it any more.
 * @throws as rollBackVolumes
 */
export async function leaveOverlays(run: RollBack): Promise<void> {
  const { host, point, onNote } = run;
  const overlays = point.volumes.flatMap(({ overlay }) => overlay ?? []);
  const domain = await host.domain(run.domain.uuid);
  if (!domain) {
    onNote(
      `libvirt does not know domain ${run.domain.name} any more; what there is of ${overlays.join(', ')} stays`,
    );
    return;
  }
  if (run.mayBeInFlight) await awaitBegin(run, domain);
  // NOTE: libvirt lists a snapshot before it makes it, and what forgets it waits for its end. Where
  // a dead client's is under way, the guest goes on in the overlays only after this call.
  if (!(await namesAny(domain, overlays))) await forgetSnapshot(run, domain);
  if (await namesAny(domain, overlays)) await commitAll(run, domain);
  await forgetSnapshot(run, domain);
  await removeOverlays(run, domain);
}

/** Whoever was dead before libvirt answered may still have a call on its way. */
async function awaitBegin({ point, signal }: RollBack, domain: Domain): Promise<void> {
  const overlays = point.volumes.flatMap(({ overlay }) => overlay ?? []);
  const isBegun = async () =>
    !(await domain.isActive()) ||
    (await isListed(domain, point.mark)) ||
    (await namesAny(domain, overlays));
  await pollUntil(isBegun, { timeoutMs: IN_FLIGHT_MS, pollMs: 500, signal });
}

async function forgetSnapshot({ point }: RollBack, domain: Domain): Promise<void> {
  if (!(await isListed(domain, point.mark))) return;
  await domain.snapshotDelete(point.mark, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
}

/**
 * NOTE: while libvirt makes a snapshot it counts it, and has no name for it yet: the list fails then
 * with INVALID_ARG (libvirt 9.0). Under the domain's lock it can be no other than this one.
 */
async function isListed(domain: Domain, mark: string): Promise<boolean> {
  try {
    return (await domain.listSnapshots()).some(({ name }) => name === mark);
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.INVALID_ARG)) return true;
    throw error;
  }
}

/** All disks are looked at before the first is touched. */
async function commitAll(run: RollBack, domain: Domain): Promise<void> {
  const plans: ChainPlan[] = [];
  for (const { target, overlay } of run.point.volumes) {
    if (overlay === null || !(await namesAny(domain, [overlay]))) continue;
    if (!(await domain.isActive())) throw isOff(run, domain, overlay);
    plans.push(await planLeave(run, domain, { target, overlay }));
  }
  for (const plan of plans) await commit(run, domain, plan);
}

/** As `chain commit` looks at it, but for this run's own snapshot, which is to be forgotten. */
async function planLeave(
  { host, point, isLate, config, signal, runId }: RollBack,
  domain: Domain,
  { target, overlay }: { target: string; overlay: string },
): Promise<ChainPlan> {
  const connection = await host.work();
  const chain = await readDiskChain(domain, { connection, disk: target, config, signal });
  await assertReady(domain, chain);
  const { layers } = chain;
  const [top, below] = layers;
  if (top?.path !== overlay || !below) {
    throw new PublishError(
      'CHAIN',
      `something was put on top of ${overlay}, which no image needs, in the chain of disk ${target} of domain ${domain.name}; commit that first (virt-publish chain commit), then run: virt-publish recover ${runId}`,
      { step: 'rollback' },
    );
  }
  const plan = planCommit({ name: domain.name, target, layers }, { base: below.path });
  assertNoSnapshotLost(plan);
  await assertLayersUnused(host, chain, plan, { snapshot: point.mark, heldStill: isLate });
  await assertEnoughRoom(plan, config, FREE_SOME);
  return plan;
}

function isOff({ runId }: RollBack, domain: Domain, overlay: string): PublishError {
  return new PublishError(
    'VOLUMES',
    `domain ${domain.name} is switched off, and has its newest data in ${overlay}, which no image needs; start it (paused is enough: virsh start ${virshDomain(domain)} --paused), then run: virt-publish recover ${runId}`,
    { step: 'rollback', retryable: true },
  );
}

/** A job that does not come to its end is ended, and the guest goes on in the overlay. */
async function commit(run: RollBack, domain: Domain, plan: ChainPlan): Promise<void> {
  const { host, journal, config, onEvent, onNote, signal } = run;
  const { timeouts, reserve } = config;
  const { path } = plan.into;
  const directories = isOnFileSystem(path) ? [dirname(path)] : [];
  const context = { host, name: domain.name, uuid: domain.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote });
  const job = { domain, plan, journal, scope, timeouts, bandwidthMib: 0, onEvent };
  try {
    await withReserveWatch({ directories, reserve, signal, cure: FREE_SOME }, (watch) =>
      runChainJob({ ...job, checkReserve: watch.check, signal: watch.signal }),
    );
  } catch (error) {
    for (const { message, recoveryCommand } of await scope.restore())
      onNote(`${message}; run: ${recoveryCommand}`);
    throw error;
  }
}

/** The stored definition follows the running one after a moment. */
async function removeOverlays({ host, point }: RollBack, domain: Domain): Promise<void> {
  const { storage } = await host.work();
  for (const { pool, overlay } of point.volumes) {
    if (overlay === null) continue;
    await storage.refreshPool(pool);
    const isLeft = async () => !(await namesAny(domain, [overlay]));
    if (!(await pollUntil(isLeft, { timeoutMs: SETTLE_MS, pollMs: 200 }))) {
      const message = `domain ${domain.name} goes on in ${overlay} all the same; nothing was removed`;
      throw new PublishError('VOLUMES', message, { step: 'rollback', retryable: true });
    }
    await storage.deleteVolume(pool, basename(overlay));
  }
}

/** In any layer of any disk, as it runs and as it is defined. */
async function namesAny(domain: Domain, paths: readonly string[]): Promise<boolean> {
  const xmls = [await domain.getXMLDesc(0), await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE)];
  return xmls.some((xml) =>
    parseDomainXml(xml).disks.some(({ source, backingChain }) =>
      [source, ...backingChain.map(({ path }) => path)].some(
        (path) => path !== null && paths.includes(path),
      ),
    ),
  );
}
