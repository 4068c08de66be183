// Slow readers, Ctrl-Z and background jobs never hold a guest.
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { readdir, readFile, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { beforeAll, beforeEach, expect, test } from 'vitest';
import { CLI, makeSandbox, type Sandbox, startCli } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { collect, must } from '../support/exec.ts';
import { expectWhole, type GuestPhoto, photograph } from '../support/guest-photo.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, imagesIn, untilWhole } from './whole.ts';

const CTRL_S = '\u0013';
const CTRL_Q = '\u0011';

let domain: TestDomain;
let before: GuestPhoto;
let sandbox: Sandbox;

beforeAll(async () => {
  domain = await createDomain({ shape: 'qcow2' });
  before = await photograph(domain);
});
beforeEach(async () => {
  sandbox = await makeSandbox();
});

test.each([
  ['a live run with its display', ['--mode', 'live', '--verbose']],
  ['a live run that prints JSON', ['--mode', 'live', '--json']],
  ['a cold run with a plain log', ['--mode', 'cold', '--verbose', '--no-progress']],
])('%s publishes its image while its terminal takes no output', async (_, flags) => {
  const command = [process.execPath, CLI, 'snapshot', domain.name, ...flags];
  const { terminal, done } = openTerminal(command.join(' '));
  terminal.stdin.write(CTRL_S);
  await waitFor('the image', hasActiveImage);
  await waitFor('the end of the run', async () => (await filesOfRuns()).length === 0);
  await expectWhole(domain, before);
  terminal.stdin.write(CTRL_Q);
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout).toContain((await imagesIn(sandbox))[0]?.id);
  await expectNothingLeft(sandbox);
});

test('a run continues while its pipes are not read, and a slow reader receives all output', async () => {
  const gate = join(sandbox.dir, 'gate');
  await must('mkfifo', [gate]);
  const command = `${process.execPath} ${CLI} snapshot ${domain.name} --json --verbose`;
  const reader = `{ read -r _ < ${gate}; cat; }; exit \${PIPESTATUS[0]}`;
  const child = spawn('bash', ['-c', `${command} 2>&1 | ${reader}`], {
    env: { ...process.env, ...sandbox.env },
  });
  const done = collect(child);
  await waitFor('the image', hasActiveImage);
  await waitFor('the end of the run', async () => (await filesOfRuns()).length === 0);
  await expectWhole(domain, before);
  await writeFile(gate, '\n');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout.trimEnd().split('\n').at(-1)).toContain('"type":"result"');
});

test('a Ctrl-Z during the freeze stops the run after the guest is restored', async () => {
  const env = { VIRT_PUBLISH_TEST_AT: 'done:freeze=SIGTSTP' };
  const { child, done } = await startCli(['snapshot', domain.name, '--json'], { sandbox, env });
  await waitFor('the stop', () => isStopped(child.pid));
  // The guard does not act within this time.
  await untilWhole(domain, before, 2000);
  child.kill('SIGCONT');
  const ran = await done;
  expect(ran.exitCode, ran.stdout).toBe(0);
  expect(ran.stdout).toContain('stopping when the guest is as it was');
});

test('a Ctrl-Z during the read of a saved guest stops neither the read nor the start of the guest', async () => {
  const env = { VIRT_PUBLISH_TEST_AT: 'done:save=SIGTSTP' };
  const args = ['snapshot', domain.name, '--mode', 'cold', '--json'];
  const { child, done } = await startCli(args, { sandbox, env });
  await waitFor('the stop', () => isStopped(child.pid));
  await untilWhole(domain, before, 2000);
  child.kill('SIGCONT');
  expect((await done).exitCode).toBe(0);
});

test('`stty tostop` does not stop a background job at its output', async () => {
  const command = `${process.execPath} ${CLI} snapshot ${domain.name} --verbose`;
  const { done } = openTerminal(`bash -c 'stty tostop; set -m; ${command} & wait; echo ended $?'`);
  const ran = await done;
  expect(ran.stdout).toContain('ended 0');
  await expectWhole(domain, before);
  await expectNothingLeft(sandbox);
});

/** Runs a command line on a terminal of its own, whose keys are the standard input of `script`. */
function openTerminal(command: string) {
  const terminal: ChildProcessWithoutNullStreams = spawn(
    'script',
    ['--quiet', '--return', '--flush', '--command', command, '/dev/null'],
    { env: { ...process.env, ...sandbox.env, TERM: 'xterm' } },
  );
  const chunks: string[] = [];
  terminal.stdout.setEncoding('utf8').on('data', (text: string) => chunks.push(text));
  const done = new Promise<{ exitCode: number | null; stdout: string }>((resolve) => {
    terminal.on('close', (exitCode) => resolve({ exitCode, stdout: chunks.join('') }));
  });
  return { terminal, done };
}

async function hasActiveImage(): Promise<boolean> {
  const images = await imagesIn(sandbox).catch(() => []);
  return images.some(({ status }) => status === 'active');
}

async function filesOfRuns(): Promise<string[]> {
  return readdir(join(sandbox.stateDir, 'runs'));
}

async function isStopped(pid: number | undefined): Promise<boolean> {
  return /^State:\s+T/m.test(await readFile(`/proc/${pid}/status`, 'utf8'));
}
