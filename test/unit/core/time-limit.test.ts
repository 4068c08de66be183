// A deadline fires while its work waits, even if garbage is collected and nothing else keeps the process alive.
import { getEventListeners } from 'node:events';
import { expect, it } from 'vitest';
import { withTimeLimit } from '#built/core/time-limit.js';
import { run } from '../../support/exec.ts';

const module = new URL('../../../build/core/time-limit.js', import.meta.url).href;

const untilAborted = (signal: AbortSignal) =>
  new Promise<never>((_, reject) => {
    signal.addEventListener('abort', () => reject(signal.reason));
  });

async function ranAlone(script: string): Promise<string> {
  const args = ['--expose-gc', '--input-type=module', '-e', script];
  return (await run(process.execPath, args)).stdout.trim();
}

it('`withTimeLimit` aborts at the deadline even after a garbage collection', async () => {
  const script = `
    import { withTimeLimit } from '${module}';
    setInterval(() => globalThis.gc(), 10);
    setTimeout(() => { console.log('it never came'); process.exit(1); }, 10_000);
    const caller = new AbortController();
    const work = (signal) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    await withTimeLimit({ ms: 200, signal: caller.signal }, work)
      .catch((error) => console.log(error.name));
    process.exit(0);`;
  expect(await ranAlone(script)).toBe('TimeoutError');
});

it('`withTimeLimit` keeps the process alive until its work has settled', async () => {
  const script = `
    import { withTimeLimit } from '${module}';
    const never = (signal) => new Promise((_, reject) => {
      signal.addEventListener('abort', () => reject(signal.reason));
    });
    await withTimeLimit({ ms: 50 }, never).catch((error) => console.log(error.name));`;
  expect(await ranAlone(script)).toBe('TimeoutError');
});

it('`withTimeLimit` aborts with the reason of the caller or the error for the deadline', async () => {
  const caller = new AbortController();
  const waiting = withTimeLimit({ ms: 60_000, signal: caller.signal }, untilAborted);
  caller.abort(new Error('stopped'));
  await expect(waiting).rejects.toThrow('stopped');
  const late = () => new Error('too late');
  await expect(withTimeLimit({ ms: 1, late }, untilAborted)).rejects.toThrow('too late');
});

it('`withTimeLimit` aborts the work at once if the caller has aborted, and removes its listener', async () => {
  const caller = new AbortController();
  caller.abort(new Error('stopped'));
  const limits = { ms: 60_000, signal: caller.signal };
  expect(await withTimeLimit(limits, async ({ aborted }) => aborted)).toBe(true);
  const { signal } = new AbortController();
  expect(await withTimeLimit({ ms: 60_000, signal }, async () => 7)).toBe(7);
  expect(getEventListeners(signal, 'abort')).toEqual([]);
});

it('`withTimeLimit` accepts a deadline beyond the longest timer of Node', async () => {
  const { aborted } = await withTimeLimit({ ms: 2 ** 40 }, async (signal) => {
    await new Promise((done) => setTimeout(done, 20));
    return signal;
  });
  expect(aborted).toBe(false);
});
