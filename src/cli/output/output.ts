// Standard output for the product alone; a reader that went away (`| head`) is no error.
import { hasCode, PublishError } from '../../core/errors.ts';
import { OUTPUT_STALL_MS } from './standard-streams.ts';
import type { Writer } from './writer.ts';

export interface Output {
  /** Writes text; after the reader went away, nothing. */
  write(text: string): void;
  /** Writes a line about the work, which may be dropped if the reader has stopped for long. */
  report(text: string): void;
  /** Writes progress, which is dropped if the reader is behind. */
  offer(text: string): void;
  /**
   * Pipes bytes in with back-pressure. Resolves if the reader went away.
   * @throws the signal's reason, also while the reader takes nothing.
   */
  pipe(source: AsyncIterable<Uint8Array>, signal?: AbortSignal): Promise<void>;
  /**
   * Waits until all is out.
   * @throws what the stream failed with, a broken pipe apart; PublishError INTERNAL if the reader
   * takes nothing for minutes.
   */
  finish(): Promise<void>;
}

/** NOTE: a broken pipe never ends the process: a run that holds a guest continues to its end. */
export function createOutput(writer: Writer, stallMs = OUTPUT_STALL_MS): Output {
  const ifReaderIsThere = (write: (text: string) => void) => (text: string) => {
    if (writer.failure === undefined) write(text);
  };
  return {
    write: ifReaderIsThere((text) => void writer.write(text)),
    report: ifReaderIsThere((text) => writer.report(text)),
    offer: ifReaderIsThere((text) => writer.offer(text)),
    pipe: async (source, signal) => {
      const stop = () => writer.discard();
      signal?.addEventListener('abort', stop, { once: true });
      try {
        for await (const chunk of source) {
          signal?.throwIfAborted();
          await writer.write(chunk);
          signal?.throwIfAborted();
          if (writer.failure !== undefined) return;
        }
      } finally {
        signal?.removeEventListener('abort', stop);
      }
    },
    finish: async () => {
      const isOut = await writer.finish(stallMs);
      const { failure } = writer;
      if (failure !== undefined && !hasCode(failure, 'EPIPE')) throw cannotWrite(failure);
      if (!isOut) throw notRead(stallMs);
    },
  };
}

function cannotWrite(cause: Error): PublishError {
  const message = 'the work is done, but standard output cannot be written to';
  const hint = 'run it again with its output in a file, if you need the output';
  return new PublishError('INTERNAL', message, { cause, hint });
}

function notRead(stallMs: number): PublishError {
  const message = `the work is done, but its reader took nothing from standard output for ${stallMs / 1000} s`;
  return new PublishError('INTERNAL', message, { hint: 'read it, or send it to a file' });
}
