// What a planned run would be refused with once it begins; looks and touches nothing.
import { resolve } from 'node:path';
import { assertQemuReaches } from '../../capture/live/qemu-reach.ts';
import { PublishError } from '../../core/errors.ts';
import type { PlanObstacle } from '../../core/model.ts';
import { assertEnoughSpace } from '../../domain/space.ts';
import { foreseeFolder } from '../../host/files/foresee-folder.ts';
import { runsFolder } from '../../run/journal/run-folder.ts';
import type { Decision } from './decide.ts';
import type { SnapshotSession } from './settings.ts';

/** Returns what stands in the way of a run, in the order that it would meet it. */
export async function foresee(
  { settings, domain }: SnapshotSession,
  { capture, space }: Pick<Decision, 'capture' | 'space'>,
): Promise<PlanObstacle[]> {
  const { workDir, onEvent, signal, config } = settings;
  const warn = (message: string) =>
    onEvent({ type: 'note', level: 'warning', step: 'delta', message });
  const limits = { signal, timeoutMs: config.timeouts.requestMs };
  const place = { workDir: resolve(workDir), prepared: foldersOf(settings), ...limits };
  const reach = () => assertQemuReaches(domain, place, warn);
  return [
    ...(await obstacleOf(async () => assertEnoughSpace(space))),
    ...(await foreseeFolders(settings)),
    ...(capture.mode === 'live' ? await obstacleOf(reach) : []),
  ];
}

/** The directories that every run makes its folders in. */
export async function foreseeFolders(
  settings: SnapshotSession['settings'],
): Promise<PlanObstacle[]> {
  const found: PlanObstacle[] = [];
  for (const path of foldersOf(settings))
    found.push(...(await obstacleOf(() => foreseeFolder(path))));
  return found.filter(({ message }, at) => found.findIndex((o) => o.message === message) === at);
}

function foldersOf({ workDir, config: { stateDir } }: SnapshotSession['settings']): string[] {
  const folders = [stateDir, runsFolder(stateDir), workDir];
  return [...new Set(folders.map((path) => resolve(path)))];
}

async function obstacleOf(look: () => Promise<void>): Promise<PlanObstacle[]> {
  try {
    await look();
    return [];
  } catch (error) {
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    return [{ code: error.code, message: error.message, hint: error.hint }];
  }
}
