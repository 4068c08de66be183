// What a link to an object is answered, asked as somebody who has nothing but the link.
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { type LinkAnswer, SMALL_OBJECT_BYTES } from './object-store.ts';
import { trusted } from './s3-access.ts';
import { readSmallBody } from './s3-body.ts';

/** `caFile`: an authority that is trusted beside the usual ones. Redirects are answers. */
export async function followLink(
  link: string,
  { caFile, signal }: { caFile: string | null | undefined; signal: AbortSignal },
): Promise<LinkAnswer> {
  const ca = await trusted(caFile);
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const isSecure = new URL(link).protocol === 'https:';
    const options = { signal, agent: false } as const;
    const request = isSecure
      ? getSecure(link, { ...options, ...(ca === undefined ? {} : { ca }) }, resolve)
      : getPlain(link, options, resolve);
    request.once('error', reject);
  });
  const body = await readSmallBody(answer, SMALL_OBJECT_BYTES, 'the link');
  return { status: answer.statusCode ?? 0, body };
}
