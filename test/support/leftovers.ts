// Removes the domains of killed test files: they would disturb
// later tests, since a disk whose file is missing may read anything.
import { mkdirSync, readdirSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { run } from './exec.ts';
import { lab } from './lab.ts';

interface MadeDomain {
  uuid: string;
  dir: string;
  /** The process of the test file. */
  pid: number;
}

export const UNDEFINE_FLAGS = [
  '--managed-save',
  '--snapshots-metadata',
  '--checkpoints-metadata',
  '--nvram',
];

/** Records a domain before it is defined, until {@link forgetDomain}. */
export function recordDomain(uuid: string, dir: string): void {
  mkdirSync(recordFolder(), { recursive: true });
  const made: MadeDomain = { uuid, dir, pid: process.pid };
  writeFileSync(join(recordFolder(), uuid), JSON.stringify(made));
}

export function forgetDomain(uuid: string): void {
  rmSync(join(recordFolder(), uuid), { force: true });
}

/** Vitest's global setup: removes every recorded domain whose test process has ended. */
export async function setup(): Promise<void> {
  mkdirSync(recordFolder(), { recursive: true });
  for (const uuid of readdirSync(recordFolder())) {
    const { dir, pid } = JSON.parse(readFileSync(join(recordFolder(), uuid), 'utf8')) as MadeDomain;
    if (isVitest(pid)) continue;
    await removeDomain(uuid, dir);
    process.stderr.write(`removed the domain ${uuid}, which a killed test left\n`);
  }
}

async function removeDomain(uuid: string, dir: string): Promise<void> {
  const virsh = (...args: string[]) => run('virsh', ['-q', '-c', lab().uri, ...args]);
  await virsh('destroy', uuid);
  await virsh('undefine', uuid, ...UNDEFINE_FLAGS);
  const { stdout } = await virsh('list', '--all', '--uuid');
  if (stdout.includes(uuid)) throw new Error(`domain ${uuid}, left by a test, cannot be removed`);
  await rm(dir, { recursive: true, force: true });
  forgetDomain(uuid);
}

function isVitest(pid: number): boolean {
  try {
    return readFileSync(`/proc/${pid}/cmdline`, 'utf8').includes('vitest');
  } catch {
    return false;
  }
}

function recordFolder(): string {
  return join(lab().dir, 'run', 'test-domains');
}
