// The chain commands on one page: show the backing chain of a disk, and shorten it while the guest runs.
import { dirname } from 'node:path';
import {
  assertEnoughRoom,
  assertLayersUnused,
  assertNoSnapshotLost,
  assertReady,
  isOnFileSystem,
  OTHER_BASE,
} from '../../capture/chain/chain-assertions.ts';
import { type ChainJob, type Flushed, runChainJob } from '../../capture/chain/chain-job.ts';
import { type ChainPlan, planCommit, planPull } from '../../capture/chain/plan-chain.ts';
import { withReserveWatch } from '../../capture/reserve-watch.ts';
import { type Config, loadConfig } from '../../config/config.ts';
import { messageOf } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { type ChainReport, type DiskChain, readDiskChain } from '../../domain/chain/read-chain.ts';
import { readOpenFiles } from '../../domain/open-files.ts';
import { withSession } from '../../domain/session.ts';
import { guestActs } from '../../run/acts/guest-acts.ts';
import { GuestScope } from '../../run/guest-scope.ts';
import { type OpenRun, withRun } from '../../run/open-run.ts';
import { underGuard } from '../../run/under-guard.ts';
import { type GuardedSession, withLockedDomain } from '../locked-domain.ts';
import type {
  ChainOptions,
  ChainResult,
  CommitChainOptions,
  PullChainOptions,
} from './chain-types.ts';
import { type ChainSettings, chainSettings } from './settings.ts';
import { removeUnusedFiles } from './unused-files.ts';

/** Returns the backing chain of a disk of a domain that runs or is off. Touches nothing. */
export async function showChain(options: ChainOptions, config?: Config): Promise<ChainReport> {
  const settings = chainSettings(options, config ?? (await loadConfig()));
  return withSession(settings, async ({ host, domain: found }) => {
    const reading = { ...settings, connection: await host.work() };
    const { domain, disk, layers, obstacle } = await readDiskChain(found, reading);
    return { domain, disk, layers, obstacle };
  });
}

/**
 * Writes layers down into the one below them, while the guest runs. When this rejects, or dies, the
 * guest runs on the chain it had, which reads as before.
 * @throws PublishError CHAIN, CHAIN_IN_USE, DOMAIN_BUSY, NO_SPACE, USAGE.
 */
export async function commitChain(
  options: CommitChainOptions,
  config?: Config,
): Promise<ChainResult> {
  const settings = chainSettings(options, config ?? (await loadConfig()));
  return shorten(settings, (chain) => planCommit(chain, settings));
}

/** Writes layers up into the active one, while the guest runs; else as {@link commitChain}. */
export async function pullChain(options: PullChainOptions, config?: Config): Promise<ChainResult> {
  const settings = chainSettings(options, config ?? (await loadConfig()));
  return shorten(settings, (chain) => planPull(chain, settings));
}

type MakePlan = (chain: Parameters<typeof planCommit>[0]) => ChainPlan;

function shorten(settings: ChainSettings, makePlan: MakePlan): Promise<ChainResult> {
  return withLockedDomain(settings, async (session, runId) => {
    const { host, domain } = session;
    const { chain, plan } = await runStep(
      settings.onEvent,
      'inspect',
      () => decide(session, makePlan),
      ({ plan: { kind, target, into } }) => `${kind} on ${target}, into ${into.path}`,
    );
    const flushed = await runPlan(session, plan, runId);
    const now = await readAfter(session, plan);
    const after = now?.layers ?? chain.layers.filter((layer) => !plan.removed.includes(layer));
    const layers = after.map(({ path }) => path);
    const own = { uuid: domain.uuid, target: plan.target, layers };
    const unused = await removeUnusedFiles(host, plan.removed, {
      ...{ own, into: plan.into.path, flushed, remove: settings.delete },
      ...{ before: chain.marks, after: now?.marks ?? null, opened: await readOpenFiles(domain) },
    });
    return { runId, before: chain.layers, after, unused };
  });
}

/** Returns undefined, after a warning, if the chain cannot be read: the result is reported all the same. */
async function readAfter(
  { settings: { config, onEvent }, host, domain }: GuardedSession<ChainSettings>,
  { target }: ChainPlan,
): Promise<DiskChain | undefined> {
  // Not cancelled: the chain has changed already.
  const { signal } = new AbortController();
  try {
    const connection = await host.work();
    return await readDiskChain(domain, { config, signal, disk: target, connection });
  } catch (error) {
    const message = `the chain is shorter, and could not be read again: ${messageOf(error)}`;
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
    return undefined;
  }
}

/** Checks everything that could prevent it; changes nothing. */
async function decide(
  { settings, host, domain }: GuardedSession<ChainSettings>,
  makePlan: MakePlan,
): Promise<{ chain: DiskChain; plan: ChainPlan }> {
  const chain = await readDiskChain(domain, { ...settings, connection: await host.work() });
  await assertReady(domain, chain);
  const { layers, disk } = chain;
  const plan = makePlan({ name: domain.name, target: disk.target, layers });
  assertNoSnapshotLost(plan);
  await assertLayersUnused(host, chain, plan);
  await assertEnoughRoom(plan, settings.config);
  return { chain, plan };
}

async function runPlan(
  session: GuardedSession<ChainSettings>,
  plan: ChainPlan,
  runId: string,
): Promise<Flushed> {
  const { settings, domain, host } = session;
  const { config, onEvent, connect: uri } = settings;
  const identity = { name: domain.name, uuid: domain.uuid };
  const facts = { runId, uri, domain: identity, registry: null };
  const onWarning = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'restore', message });
  const place = { stateDir: config.stateDir, workDir: config.workDir, host, onWarning };
  return withRun(facts, place, (open) => runWatched(session, plan, { open, onNote: onWarning }));
}

/** Watches the file system that is written to: if it runs full, the guests on it pause. */
async function runWatched(
  { settings, host, domain, guard }: GuardedSession<ChainSettings>,
  plan: ChainPlan,
  { open: { folder, journal }, onNote }: { open: OpenRun; onNote: (note: string) => void },
): Promise<Flushed> {
  const { config, bandwidthMib, onEvent, signal } = settings;
  const { timeouts, reserve } = config;
  const { path } = plan.into;
  const directories = isOnFileSystem(path) ? [dirname(path)] : [];
  const context = { host, name: domain.name, uuid: domain.uuid };
  const scope = new GuestScope({ journal, acts: guestActs, context, onNote });
  const job: Omit<ChainJob, 'checkReserve' | 'signal'> = {
    ...{ domain, plan, journal, scope, timeouts, bandwidthMib, onEvent },
  };
  const freezeMs = 2 * timeouts.freezeMs;
  const options = { runPath: folder.path, freezeMs, guestMs: timeouts.mirrorMs + freezeMs };
  return withReserveWatch({ directories, reserve, signal, alternative: OTHER_BASE }, (watch) =>
    underGuard({ name: domain.name, guard, options, journal, scope, onEvent }, () =>
      runChainJob({ ...job, checkReserve: watch.check, signal: watch.signal }),
    ),
  );
}
