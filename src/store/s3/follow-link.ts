// What a link to an object is answered, asked as somebody who has nothing but the link.
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { type LinkAnswer, SMALL_OBJECT_BYTES } from '../object-store.ts';
import type { Agents } from './agents.ts';
import { readSmallBody } from './body.ts';

/** By the same connections as the bucket itself. Redirects are answers. */
export async function followLink(
  link: string,
  { access, signal }: { access: Agents; signal: AbortSignal },
): Promise<LinkAnswer> {
  const answer = await new Promise<IncomingMessage>((resolve, reject) => {
    const isSecure = new URL(link).protocol === 'https:';
    const request = isSecure
      ? getSecure(link, { signal, agent: access.https }, resolve)
      : getPlain(link, { signal, agent: access.http }, resolve);
    request.once('error', reject);
  });
  const body = await readSmallBody(answer, SMALL_OBJECT_BYTES, 'the link');
  return { status: answer.statusCode ?? 0, body };
}
