// Checks, before the SDK parses an answer, that it is small and not nested deeper than any of S3's.
import type { Readable } from 'node:stream';

/** Twice a page of a thousand keys of a KiB, with each character escaped. */
const MAX_ANSWER_BYTES = 16 * 1024 * 1024;
/** S3's own have six levels. */
const MAX_DEPTH = 32;

/** The answer is not S3's; a retry would get the same. */
export class NotS3Answer extends Error {
  override readonly name = 'NotS3Answer';
}

/**
 * Returns the whole body.
 *
 * NOTE: the SDK reads such a body without a limit.
 * @throws NotS3Answer if it is too large
 */
export async function readBounded(body: Readable): Promise<Buffer> {
  const chunks: Buffer[] = [];
  let size = 0;
  for await (const chunk of body as AsyncIterable<Buffer>) {
    size += chunk.byteLength;
    // Leaving the loop destroys the stream, and the connection with it.
    if (size > MAX_ANSWER_BYTES)
      throw new NotS3Answer(`it has more than ${MAX_ANSWER_BYTES} bytes`);
    chunks.push(chunk);
  }
  return Buffer.concat(chunks);
}

/**
 * NOTE: the SDK's parser takes time by the square of the depth, in which nothing else of the process
 * runs.
 * @throws NotS3Answer if elements nest too deep, or entities are defined
 */
export function assertShallow(xml: Buffer): void {
  let depth = 0;
  for (let at = xml.indexOf('<'); at !== -1; at = xml.indexOf('<', at + 1)) {
    const next = String.fromCharCode(xml[at + 1] ?? 0);
    if (xml.subarray(at, at + ENTITY.length).equals(ENTITY))
      throw new NotS3Answer('it defines entities');
    if (next === '!' || next === '?') continue;
    const end = xml.indexOf('>', at);
    if (end === -1) return;
    if (next === '/') depth -= 1;
    else if (xml[end - 1] !== SLASH) depth += 1;
    if (depth > MAX_DEPTH) throw new NotS3Answer(`its elements are more than ${MAX_DEPTH} deep`);
  }
}

const SLASH = 0x2f;
const ENTITY = Buffer.from('<!ENTITY');
