// Finds what a planned run would fail with; changes nothing.
import { resolve } from 'node:path';
import { assertQemuReaches } from '../../capture/live/qemu-reach.ts';
import { PublishError } from '../../core/errors.ts';
import type { PlanObstacle } from '../../core/model.ts';
import { assertEnoughSpace } from '../../domain/space.ts';
import { checkFolder } from '../../host/files/check-folder.ts';
import { runsFolder } from '../../run/journal/run-folder.ts';
import type { Decision } from './decide.ts';
import type { SnapshotSession } from './settings.ts';

/** Returns the obstacles of a run, in the order in which it would meet them. */
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

/** Returns the obstacles in the directories that every run makes its folders in. */
export async function foreseeFolders(
  settings: SnapshotSession['settings'],
): Promise<PlanObstacle[]> {
  const found: PlanObstacle[] = [];
  for (const path of foldersOf(settings))
    found.push(...(await obstacleOf(() => checkFolder(path))));
  return found.filter(({ message }, at) => found.findIndex((o) => o.message === message) === at);
}

function foldersOf({ workDir, config: { stateDir } }: SnapshotSession['settings']): string[] {
  const folders = [stateDir, runsFolder(stateDir), workDir];
  return [...new Set(folders.map((path) => resolve(path)))];
}

/** Returns what the check throws, as an obstacle; none if it passes. */
export async function obstacleOf(check: () => Promise<void>): Promise<PlanObstacle[]> {
  try {
    await check();
    return [];
  } catch (error) {
    if (!(error instanceof PublishError) || error.code === 'INTERRUPTED') throw error;
    return [{ code: error.code, message: error.message, hint: error.hint }];
  }
}
