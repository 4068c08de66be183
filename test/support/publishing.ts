// The command in tests of all kinds: publishes and pulls images, and judges the result.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { expect } from 'vitest';
import { bootImage } from './boot.ts';
import { type CliOptions, runCli, type Sandbox } from './cli.ts';
import { fsckExt4, imageCheck, imageInfo, readFileFromImage, replayedCopy } from './judges.ts';
import { lastTick } from './ticks.ts';

export interface Published {
  id: string;
  record: Record<string, unknown> & { properties: Record<string, string> };
  events: Record<string, unknown>[];
}

type PublishOptions = CliOptions & {
  /** `snapshot` if left out. */
  command?: string;
};

/** Runs `virt-publish snapshot ARGS --json`, which must succeed. */
export async function publish(
  args: readonly string[],
  { command = 'snapshot', ...options }: PublishOptions,
): Promise<Published> {
  const ran = await runCli([command, ...args, '--json'], options);
  expect(ran.stderr).toBe('');
  expect(ran.exitCode, ran.stdout.slice(-3000)).toBe(0);
  const result = ran.events.at(-1) as { type: string; image: Published['record'] };
  expect(result.type).toBe('result');
  expect(result.image.status).toBe('active');
  return { id: String(result.image.id), record: result.image, events: ran.events };
}

export interface FailedRun {
  exitCode: number | null;
  code: string;
  message: string;
  hint: string;
  stderr: string;
}

/** Runs `virt-publish snapshot ARGS --json`, which must fail; resolves to its error and exit code. */
export async function failToPublish(
  args: readonly string[],
  { command = 'snapshot', ...options }: PublishOptions,
): Promise<FailedRun> {
  const ran = await runCli([command, ...args, '--json'], options);
  const error = ran.events.at(-1) as { type: string } & Omit<FailedRun, 'exitCode' | 'stderr'>;
  expect(error?.type, ran.stderr + ran.stdout).toBe('error');
  const { code, message, hint } = error;
  return { exitCode: ran.exitCode, code, message, hint, stderr: ran.stderr };
}

/** Pulls an image into the sandbox; resolves to its path. */
export async function pull(
  ref: string,
  format: string,
  sandbox: Sandbox,
  options: CliOptions & { args?: readonly string[] } = {},
): Promise<string> {
  const file = join(sandbox.dir, `pulled-${ref.replaceAll('/', '-')}.${format}`);
  const { args = [], ...rest } = options;
  const ran = await runCli(['pull', ref, file, ...args], { ...rest, sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  return file;
}

/** Expects a valid image with a clean file system and a complete counter, which boots. */
export async function expectGoodImage(
  file: string,
  format: string,
  { ticks, marker }: { ticks: number; marker: string },
): Promise<void> {
  await expectSoundImage(file, format, { ticks, marker });
  const booted = await bootImage(file, format);
  expect(await booted.agent.readFile('/data/marker')).toBe(marker);
  await booted.waitForTick();
  await booted.destroy();
}

/** Expects a valid image, without booting it. */
export async function expectSoundImage(
  file: string,
  format: string,
  { ticks, marker }: { ticks: number; marker: string },
): Promise<void> {
  expect((await imageInfo(file, format))['backing-filename']).toBeUndefined();
  if (format !== 'raw') expect((await imageCheck(file, format)).exitCode).toBe(0);
  const raw = await replayedCopy(file, format);
  expect((await fsckExt4(raw)).exitCode).toBe(0);
  expect(lastTick(await readFileFromImage(raw, '/data/ticks'))).toBeGreaterThanOrEqual(ticks);
  expect(await readFileFromImage(raw, '/data/marker')).toBe(marker);
}

/** Expects that no run has left a folder or a scratch file. */
export async function expectNoRunLeft(sandbox: Sandbox): Promise<void> {
  expect(await readdir(join(sandbox.stateDir, 'runs')).catch(() => [])).toEqual([]);
}
