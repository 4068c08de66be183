// Signals abort the work once, and output survives a reader that goes away.
import { PassThrough, Writable } from 'node:stream';
import { describe, expect, it } from 'vitest';
import { createOutput } from '#built/cli/output/output.js';
import { streamSink, Writer } from '#built/cli/output/writer.js';
import { withSignals } from '#built/cli/signals.js';
import { PublishError } from '#built/core/errors.js';

const words = { first: 'stopping', again: 'please wait' };

/** A real signal to this process, and its arrival. */
async function raise(name: NodeJS.Signals): Promise<void> {
  const arrived = new Promise((done) => process.once(name, done));
  process.kill(process.pid, name);
  await arrived;
}

describe('withSignals', () => {
  for (const name of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const)
    it(`${name} aborts once and lets the undo run; later ones only print`, async () => {
      const said: string[] = [];
      const undone: string[] = [];
      const work = async (signal: AbortSignal) => {
        await raise(name);
        await raise('SIGINT');
        await raise('SIGTERM');
        expect(signal.aborted).toBe(true);
        undone.push('undo');
        signal.throwIfAborted();
      };
      await expect(withSignals(words, (text) => said.push(text), work)).rejects.toMatchObject({
        ...{ code: 'INTERRUPTED', message: `interrupted by ${name}` },
      });
      expect({ said, undone }).toEqual({
        said: ['stopping', 'please wait', 'please wait'],
        undone: ['undo'],
      });
      expect(process.listenerCount(name)).toBe(0);
    });

  const interruptedWith = (error: (signal: AbortSignal) => unknown) =>
    withSignals(
      words,
      () => undefined,
      async (signal) => {
        await raise('SIGINT');
        throw error(signal);
      },
    );

  it('an error that wraps the abort becomes INTERRUPTED, with its undo failures', async () => {
    const undoFailures = [new Error('left')];
    await expect(
      interruptedWith(({ reason }) => {
        return new PublishError('UPLOAD', 'part 3', {
          step: 'upload',
          cause: reason,
          undoFailures,
        });
      }),
    ).rejects.toMatchObject({ code: 'INTERRUPTED', step: 'upload', undoFailures });
    const abort = Object.assign(new Error('aborted'), { name: 'AbortError' });
    await expect(interruptedWith(() => abort)).rejects.toMatchObject({ code: 'INTERRUPTED' });
  });

  it('GUEST_NOT_RESTORED and unrelated errors are not replaced by INTERRUPTED', async () => {
    for (const code of ['GUEST_NOT_RESTORED', 'NO_SPACE'] as const) {
      const cause = code === 'NO_SPACE' ? undefined : 'reason';
      await expect(
        interruptedWith(({ reason }) => new PublishError(code, 'x', { cause: cause && reason })),
      ).rejects.toMatchObject({ code });
    }
  });

  it('withSignals returns what the work returns, and removes its listeners', async () => {
    expect(
      await withSignals(
        words,
        () => undefined,
        async () => 7,
      ),
    ).toBe(7);
    expect(process.listenerCount('SIGHUP')).toBe(0);
  });
});

describe('output', () => {
  const failing = (code: string) =>
    new Writable({
      write: (_chunk, _encoding, done) => done(Object.assign(new Error(code), { code })),
    });

  it('writes in order and waits', async () => {
    const stream = new PassThrough();
    const output = createOutput(new Writer(streamSink(stream)));
    output.write('a');
    await output.pipe(
      (async function* () {
        yield Buffer.from('b');
      })(),
    );
    output.write('c');
    await output.finish();
    // NOTE: since Node 26 one `read()` returns one of the buffered chunks.
    expect((await stream.end().toArray()).join('')).toBe('abc');
  });

  it('ignores a broken pipe, and writes no more', async () => {
    const output = createOutput(new Writer(streamSink(failing('EPIPE'))));
    output.write('a');
    await output.finish();
    let pulled = 0;
    await output.pipe(
      (async function* () {
        for (;;) {
          pulled++;
          yield Buffer.from('b');
        }
      })(),
    );
    output.write('c');
    await expect(output.finish()).resolves.toBeUndefined();
    expect(pulled).toBe(1);
  });

  it('reports a full disk', async () => {
    const output = createOutput(new Writer(streamSink(failing('ENOSPC'))));
    output.write('a');
    await expect(output.finish()).rejects.toThrow(/standard output cannot be written to/);
  });
});
