// Standard output for the product alone; a reader that went away (`| head`) is no error.
import type { Writable } from 'node:stream';
import { PublishError } from '../errors.ts';

export interface Output {
  /** Writes text; after the reader went away, nothing. */
  write(text: string): void;
  /** Pipes bytes in with back-pressure. Resolves quietly where the reader went away. */
  pipe(source: AsyncIterable<Uint8Array>): Promise<void>;
  /** Waits until all is out. @throws what the stream failed with, a broken pipe apart. */
  finish(): Promise<void>;
}

/** NOTE: a broken pipe never ends the process: a run that holds a guest goes on to its end. */
export function createOutput(stream: Writable): Output {
  let failure: Error | undefined;
  stream.on('error', (error) => {
    failure ??= error;
  });
  const write = (chunk: string | Uint8Array) =>
    new Promise<void>((done) => {
      if (failure !== undefined) return done();
      stream.write(chunk, (error) => {
        failure ??= error ?? undefined;
        done();
      });
    });
  let last = Promise.resolve();
  return {
    write: (text) => {
      last = write(text);
    },
    pipe: async (source) => {
      for await (const chunk of source) {
        await write(chunk);
        if (failure !== undefined) return;
      }
    },
    finish: async () => {
      await last;
      if (failure !== undefined && !isBrokenPipe(failure)) throw cannotWrite(failure);
    },
  };
}

function cannotWrite(cause: Error): PublishError {
  const message = 'the work is done, but standard output cannot be written to';
  return new PublishError('INTERNAL', message, { cause });
}

function isBrokenPipe(error: Error): boolean {
  return 'code' in error && error.code === 'EPIPE';
}
