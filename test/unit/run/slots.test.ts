// Slots for snapshots on a host: a limit, a wait with a message, and no slot held by a dead process.
import { execFile } from 'node:child_process';
import { rm } from 'node:fs/promises';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { lockFolder } from '#built/host/files/lock-folder.js';
import { takeSlot } from '#built/run/lock/slots.js';
import { endHolder, holdLock } from '../../support/lock-holder.ts';

const module = new URL('../../../build/run/lock/slots.js', import.meta.url).href;
const signal = new AbortController().signal;

function request(runId: string, more: object = {}) {
  const notes: string[] = [];
  const onWait = (message: string) => notes.push(message);
  const usual = {
    runId,
    domain: `of-${runId}`,
    maxConcurrent: 2,
    timeoutMs: 10_000,
    signal,
    onWait,
  };
  return { notes, options: { ...usual, ...more } };
}

test('a third snapshot waits for two, reports their runs, and starts when one ends', async () => {
  const script = `const { takeSlot } = await import(${JSON.stringify(module)});
    const signal = new AbortController().signal;
    const usual = { domain: 'of-dead', maxConcurrent: 2, timeoutMs: 1, signal, onWait: String };
    await takeSlot({ ...usual, runId: 'dead' }); await takeSlot({ ...usual, runId: 'dead too' });
    process.kill(process.pid, 'SIGKILL');`;
  const dead = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  await expect(dead).rejects.toMatchObject({ signal: 'SIGKILL' });

  const one = await takeSlot(request('one').options);
  const two = await takeSlot(request('two').options);
  const third = request('third');
  const waiting = takeSlot(third.options);
  await expect.poll(() => third.notes).toHaveLength(1);
  expect(third.notes[0]).toMatch(/waiting for run one \(domain of-one, process \d+\) or run two/);
  await one.release();
  const three = await waiting;

  const late = request('late', { timeoutMs: 1 }).options;
  const busy = { code: 'DOMAIN_BUSY', message: expect.stringContaining('run two (domain of-two') };
  await expect(takeSlot(late)).rejects.toMatchObject(busy);
  const stop = new AbortController();
  const stopped = takeSlot(request('stopped', { signal: stop.signal }).options);
  stop.abort(new Error('enough'));
  await expect(stopped).rejects.toThrow('enough');
  await (await takeSlot(request('unlimited', { maxConcurrent: 0 }).options)).release();
  await Promise.all([two.release(), three.release()]);
});

test('a slot whose lock file names no run counts as taken, and the error reports that', async () => {
  const path = join(lockFolder(), 'slot-1.lock');
  const child = await holdLock(path, 'garbage');
  const late = request('late', { maxConcurrent: 1, timeoutMs: 1 }).options;
  await expect(takeSlot(late)).rejects.toMatchObject({
    code: 'DOMAIN_BUSY',
    message: expect.stringContaining('taken by a process that its lock file does not name'),
  });
  await endHolder(child);
  await rm(path);
});
