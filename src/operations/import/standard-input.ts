// Reads an image from standard input into a file of the run.
import { createReadStream, fstatSync, type Stats } from 'node:fs';
import { Socket } from 'node:net';
import { join } from 'node:path';
import { addAbortSignal, type Readable } from 'node:stream';
import { isatty } from 'node:tty';
import { messageOf, PublishError } from '../../core/errors.ts';
import { runStep } from '../../core/events.ts';
import { writeBounded } from './fetch/write-bounded.ts';
import { boundsOf, type ImportSettings, reportBytes } from './import-settings.ts';
import type { Place } from './still-file.ts';

const STDIN = 0;

/**
 * Reads standard input to its end, into the folder. Returns the path.
 * @throws USAGE if it is a terminal, a folder or closed; IMAGE_REFUSED, NO_SPACE; the signal's reason
 */
export async function readStandardInput(
  settings: ImportSettings,
  { folder, access }: Place,
): Promise<string> {
  const facts = openedInput();
  await access;
  const path = join(folder, 'read');
  const { onEvent, signal } = settings;
  const total = facts.isFile() ? facts.size : 0;
  const onProgress = (bytes: number) => reportBytes(settings, 'download', bytes, total);
  await runStep(onEvent, 'download', async () => {
    const input = addAbortSignal(signal, inputStream(facts));
    try {
      await writeBounded(input, path, { ...boundsOf(settings, 'download'), onProgress });
    } catch (error) {
      throw signal.aborted ? signal.reason : error;
    } finally {
      input.destroy();
    }
  });
  return path;
}

function openedInput(): Stats {
  if (isatty(STDIN)) throw unusable('is a terminal');
  const facts = statInput();
  if (facts.isDirectory()) throw unusable('is a directory');
  return facts;
}

function statInput(): Stats {
  try {
    return fstatSync(STDIN);
  } catch (error) {
    throw unusable(`cannot be read: ${messageOf(error)}`);
  }
}

/** NOTE: a read of a pipe by a thread of libuv cannot be cancelled; a socket's can. */
function inputStream(facts: Stats): Readable {
  if (facts.isFIFO() || facts.isSocket()) return new Socket({ fd: STDIN, writable: false });
  return createReadStream('', { fd: STDIN, autoClose: false, highWaterMark: 256 * 1024 });
}

function unusable(why: string): PublishError {
  const hint = 'send an image to it: xz -dc IMAGE | virt-publish import - --name NAME';
  return new PublishError('USAGE', `standard input ${why}`, { step: 'download', hint });
}
