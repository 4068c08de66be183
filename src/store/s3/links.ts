// Links to one object that work without credentials: made here, and followed to see whether they work.
import { get as getPlain, type IncomingMessage } from 'node:http';
import { get as getSecure } from 'node:https';
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import { type LinkAnswer, type PresignOptions, SMALL_OBJECT_BYTES } from '../object-store.ts';
import { readSmallBody } from './body.ts';
import type { Agents } from './connections/agents.ts';
import type { S3Requests } from './requests.ts';
import { getObjectCommand } from './s3-client.ts';

/**
 * Returns a link that reads the object at `key`. It works until it expires, or until the credentials
 * that signed it do, whichever is sooner. Makes no request.
 * @throws REGISTRY if there are no credentials
 */
export async function presignGet(
  s3: S3Requests,
  key: string,
  { expiresSeconds, fileName, signal }: PresignOptions,
): Promise<string> {
  const disposition = { ResponseContentDisposition: `attachment; filename="${fileName}"` };
  const command = getObjectCommand({
    ...s3.at(key),
    ...(fileName === undefined ? {} : disposition),
  });
  return s3.send({ doing: `making a link to ${key}`, signal }, (client) =>
    getSignedUrl(client, command, { expiresIn: expiresSeconds }),
  );
}

/**
 * Returns status and body of what a client with nothing but the link receives. It uses the bucket's
 * own connections and follows no redirect.
 */
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
