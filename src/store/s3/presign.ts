// A link to one object of a bucket that works without credentials until it expires.
import { getSignedUrl } from '@aws-sdk/s3-request-presigner';
import type { PresignOptions } from '../object-store.ts';
import type { S3Requests } from './requests.ts';
import { getObjectCommand } from './s3-client.ts';

/**
 * NOTE: nothing is asked of the server: the link is made here, and works for as long as the
 * credentials it was made with do, even where that is shorter.
 * @throws REGISTRY where there are no credentials.
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
