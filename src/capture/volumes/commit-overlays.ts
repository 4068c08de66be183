// Removes the overlays of a snapshot from a domain: commits each into the volume below it.

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
import { layerPaths, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
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
import type { RollbackRequest } from './rollback-request.ts';

/** libvirt lets a call wait for the domain's job for 30 s, then fails it. */
const IN_FLIGHT_MS = 35_000;
const SETTLE_MS = 10_000;
const FREE_SOME = 'enlarge the file system, then run virt-publish recover';

/**
 * NOTE: the commit writes the guest's newer data into the volume that the snapshot preserved, and the
 * guest uses that volume again. An overlay contains the guest's newest data, and is removed only when
 * no XML of the domain names it.
 * @throws like rollbackVolumes
 */
export async function commitOverlays(run: RollbackRequest): Promise<void> {
  const { host, point, onNote } = run;
  const overlays = point.volumes.flatMap(({ overlay }) => overlay ?? []);
  const domain = await host.domain(run.domain.uuid);
  if (!domain) {
    onNote(
      `libvirt no longer has domain ${run.domain.name}; these files are kept if they exist: ${overlays.join(', ')}`,
    );
    return;
  }
  if (run.mayBeInFlight) await awaitBegin(run, domain);
  // NOTE: libvirt lists a snapshot before it makes it, and a delete waits for its end. If a dead
  // client's snapshot is in progress, the guest uses the overlays only after this call.
  if (!(await namesAny(domain, overlays))) await forgetSnapshot(run, domain);
  if (await namesAny(domain, overlays)) await commitAll(run, domain);
  await forgetSnapshot(run, domain);
  await removeOverlays(run, domain);
}

/** Waits for the call of a client that died before libvirt answered. */
async function awaitBegin({ point, signal }: RollbackRequest, domain: Domain): Promise<void> {
  const overlays = point.volumes.flatMap(({ overlay }) => overlay ?? []);
  const isBegun = async () =>
    !(await domain.isActive()) ||
    (await isListed(domain, point.mark)) ||
    (await namesAny(domain, overlays));
  await pollUntil(isBegun, { timeoutMs: IN_FLIGHT_MS, pollMs: 500, signal });
}

async function forgetSnapshot({ point }: RollbackRequest, domain: Domain): Promise<void> {
  if (!(await isListed(domain, point.mark))) return;
  await domain.snapshotDelete(point.mark, VIR_DOMAIN_SNAPSHOT_DELETE_METADATA_ONLY);
}

/**
 * NOTE: while libvirt makes a snapshot, it counts it without a name, and the list fails with
 * INVALID_ARG (libvirt 9.0). Under the domain's lock it can only be this snapshot.
 */
async function isListed(domain: Domain, mark: string): Promise<boolean> {
  try {
    return (await domain.listSnapshots()).some(({ name }) => name === mark);
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.INVALID_ARG)) return true;
    throw error;
  }
}

/** Checks all disks before it changes the first. */
async function commitAll(run: RollbackRequest, domain: Domain): Promise<void> {
  const plans: ChainPlan[] = [];
  for (const { target, overlay } of run.point.volumes) {
    if (overlay === null || !(await namesAny(domain, [overlay]))) continue;
    if (!(await domain.isActive())) throw isOff(run, domain, overlay);
    plans.push(await planLeave(run, domain, { target, overlay }));
  }
  for (const plan of plans) await commit(run, domain, plan);
}

/** Plans like `chain commit`, but ignores this run's own snapshot, which will be deleted. */
async function planLeave(
  { host, point, isLate, config, signal, runId }: RollbackRequest,
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
      `${overlay}, which no image needs, is no longer the active layer of disk ${target} of domain ${domain.name}`,
      {
        step: 'rollback',
        hint: `commit the layers above it with virt-publish chain commit, then run virt-publish recover ${runId}`,
      },
    );
  }
  const plan = planCommit({ name: domain.name, target, layers }, { base: below.path });
  assertNoSnapshotLost(plan);
  await assertLayersUnused(host, chain, plan, { snapshot: point.mark, heldStill: isLate });
  await assertEnoughRoom(plan, config, FREE_SOME);
  return plan;
}

function isOff({ runId }: RollbackRequest, domain: Domain, overlay: string): PublishError {
  return new PublishError(
    'VOLUMES',
    `cannot remove ${overlay}, which no image needs: domain ${domain.name} is off, and has its newest data in it`,
    {
      step: 'rollback',
      retryable: true,
      hint: `run virsh start ${virshDomain(domain)} --paused, then virt-publish recover ${runId}`,
    },
  );
}

/** A job that fails is ended, and the guest keeps using the overlay. */
async function commit(run: RollbackRequest, domain: Domain, plan: ChainPlan): Promise<void> {
  const { host, journal, config, onEvent, onNote, signal } = run;
  const { timeouts, reserve } = config;
  const { path } = plan.into;
  const directories = isOnFileSystem(path) ? [dirname(path)] : [];
  const context = { host, name: domain.name, uuid: domain.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote });
  const job = { domain, plan, journal, scope, timeouts, bandwidthMib: 0, onEvent };
  try {
    await withReserveWatch({ directories, reserve, signal, alternative: FREE_SOME }, (watch) =>
      runChainJob({ ...job, checkReserve: watch.check, signal: watch.signal }),
    );
  } catch (error) {
    for (const { message, recoveryCommand } of await scope.restore())
      onNote(`${message}; run: ${recoveryCommand}`);
    throw error;
  }
}

/** Waits for the stored XML, which follows the live XML after a moment, then deletes the overlays. */
async function removeOverlays({ host, point }: RollbackRequest, domain: Domain): Promise<void> {
  const { storage } = await host.work();
  for (const { pool, overlay } of point.volumes) {
    if (overlay === null) continue;
    await storage.refreshPool(pool);
    const isLeft = async () => !(await namesAny(domain, [overlay]));
    if (!(await pollUntil(isLeft, { timeoutMs: SETTLE_MS, pollMs: 200 }))) {
      const message = `domain ${domain.name} still uses ${overlay} after the commit, so nothing was removed`;
      const hint = 'run virt-publish recover';
      throw new PublishError('VOLUMES', message, { step: 'rollback', retryable: true, hint });
    }
    await storage.deleteVolume(pool, basename(overlay));
  }
}

/** Whether the live or the stored XML has one of the paths as a layer. */
async function namesAny(domain: Domain, paths: readonly string[]): Promise<boolean> {
  const xmls = [await domain.getXMLDesc(0), await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE)];
  return xmls.some((xml) =>
    parseDomainXml(xml).disks.some((disk) =>
      layerPaths(disk).some((path) => path !== null && paths.includes(path)),
    ),
  );
}
