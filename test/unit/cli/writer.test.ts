// Output is queued for readers that stop, are slow, or go away; nothing waits for them.
import { expect, test } from 'vitest';
import { createOutput } from '#built/cli/output/output.js';
import { type Sink, Writer } from '#built/cli/output/writer.js';
import { createJsonReporter } from '#built/cli/report/json-reporter.js';
import { loadConfig } from '#built/config/config.js';
import { decideSettings } from '#built/operations/snapshot/settings.js';

/** A reader that takes bytes only while it is open. */
function reader() {
  const taken: string[] = [];
  let open: () => void = () => undefined;
  let gate = Promise.resolve();
  const sink: Sink = async (bytes) => {
    await gate;
    taken.push(Buffer.from(bytes).toString());
    return bytes.length;
  };
  const stop = () => {
    gate = new Promise((resolve) => {
      open = resolve;
    });
  };
  return { sink, stop, go: () => open(), text: () => taken.join('') };
}

test('a reader that stops receives products and reports when it continues, and no stale progress', async () => {
  const to = reader();
  const writer = new Writer(to.sink);
  to.stop();
  writer.report('a');
  writer.offer('progress 1');
  void writer.write('b');
  writer.offer('progress 2');
  expect(writer.isBehind).toBe(true);
  expect(await writer.drained(20)).toBe(false);
  to.go();
  expect(await writer.drained(1000)).toBe(true);
  writer.offer('progress 3');
  await writer.drained(1000);
  expect(to.text()).toBe('abprogress 3');
});

test('reports beyond some megabytes are dropped and counted; products are never dropped', async () => {
  const to = reader();
  const writer = new Writer(to.sink);
  to.stop();
  for (let n = 0; n < 10; n += 1) writer.report('r'.repeat(1024 * 1024));
  void writer.write('the product\n');
  to.go();
  expect(await writer.finish(1000)).toBe(true);
  expect(to.text()).toContain('the product\n(5 lines were dropped');
  expect(to.text().length).toBeLessThan(6 * 1024 * 1024);
});

test('output for a reader that stops for good is dropped after the limit; for a slow one never', async () => {
  const to = reader();
  const writer = new Writer(to.sink);
  to.stop();
  const written = writer.write('lost');
  expect(await writer.finish(20)).toBe(false);
  await written;
  const slow: string[] = [];
  const patient = new Writer(async (bytes) => {
    await new Promise((resolve) => setTimeout(resolve, 30));
    slow.push(Buffer.from(bytes.subarray(0, 1)).toString());
    return 1;
  });
  void patient.write('taken byte by byte');
  expect(await patient.finish(100)).toBe(true);
  expect(slow.join('')).toBe('taken byte by byte');
});

test('a write to a descriptor that is not ready is retried; other failures are kept', async () => {
  let tries = 0;
  const failures: Error[] = [];
  const writer = new Writer(
    async (bytes) => {
      tries += 1;
      if (tries === 1) throw Object.assign(new Error('again'), { code: 'EAGAIN' });
      if (tries === 3) throw Object.assign(new Error('full'), { code: 'ENOSPC' });
      return bytes.length;
    },
    (error) => failures.push(error),
  );
  await writer.write('a');
  expect(writer.failure).toBeUndefined();
  await writer.write('b');
  expect([writer.failure?.message, failures.length]).toEqual(['full', 1]);
});

test('a product that is not read is an error; an interrupt ends the wait', async () => {
  const to = reader();
  to.stop();
  const output = createOutput(new Writer(to.sink), 20);
  output.write('id');
  await expect(output.finish()).rejects.toThrow('took nothing from standard output');
  const interrupted = new AbortController();
  const bytes = (async function* () {
    for (;;) yield Buffer.from('x');
  })();
  const piping = createOutput(new Writer(to.sink)).pipe(bytes, interrupted.signal);
  interrupted.abort(new Error('Ctrl-C'));
  await expect(piping).rejects.toThrow('Ctrl-C');
});

test('only progress events of --json may be dropped', () => {
  const reported: boolean[] = [];
  const { onEvent } = createJsonReporter((_value, isProgress) => reported.push(isProgress));
  onEvent({ type: 'note', level: 'warning', step: 'inspect', message: 'm' });
  onEvent({ type: 'progress', step: 'mirror', bytes: 1, total: 2 });
  expect(reported).toEqual([false, true]);
});

test('a listener that throws or rejects does not fail a run, and is reported once', async () => {
  const warnings: string[] = [];
  const onWarning = (warning: Error) => warnings.push(warning.message);
  process.on('warning', onWarning);
  const event = { type: 'run', runId: 'r', domain: 'd' } as const;
  const throwing = () => {
    throw new Error('no disk for my log');
  };
  const rejecting = () => Promise.reject(new Error('no network'));
  for (const onEvent of [throwing, rejecting]) {
    const settings = decideSettings({ domain: 'd', onEvent }, await loadConfig({ env: {} }));
    settings.onEvent(event);
    settings.onEvent(event);
  }
  await new Promise((resolve) => setTimeout(resolve, 20));
  process.off('warning', onWarning);
  expect(warnings).toEqual([
    'onEvent failed, and the work goes on: no disk for my log',
    'onEvent failed, and the work goes on: no network',
  ]);
});
