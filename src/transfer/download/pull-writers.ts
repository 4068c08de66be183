// The writers of a file's ranges, some at once: past the page cache if its file system can, else through it.
import type { FileHandle } from 'node:fs/promises';
import { DirectTarget } from '../../host/io/direct-target.ts';
import { DirectWriter, WriterMemory } from './direct-writer.ts';
import { RangeWriter, type Writer } from './pull-writer.ts';

export interface Writers {
  /** The file is best read past the page cache too. */
  readonly isDirect: boolean;
  /** Gives `work` a writer for the bytes from `start` on; what it took is in the file afterwards. */
  use(start: number, work: (writer: Writer) => Promise<void>): Promise<void>;
  close(): Promise<void>;
}

/** Opens writers for `maxConcurrent` ranges at a time. The ranges of `file` must read as zeros. */
export async function openWriters(file: FileHandle, maxConcurrent: number): Promise<Writers> {
  const target = await DirectTarget.open(file);
  if (target === undefined) {
    const use: Writers['use'] = (start, work) => work(new RangeWriter(file, start));
    return { isDirect: false, use, close: async () => undefined };
  }
  const memory = new WriterMemory(maxConcurrent);
  return {
    isDirect: true,
    use: async (start, work) => {
      const pieces = memory.take();
      const writer = new DirectWriter(target, start, pieces);
      try {
        await work(writer);
        await writer.finish();
      } finally {
        await writer.waitForWrites();
        memory.release(pieces);
      }
    },
    close: () => target.close(),
  };
}
