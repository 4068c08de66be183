// Signature version 4 of a GET without a body, with the key of the day kept. Pure but for what it keeps.
import { createHmac, hash } from 'node:crypto';

export interface Credentials {
  accessKeyId: string;
  secretAccessKey: string;
  sessionToken?: string | undefined;
}

export interface GetToSign {
  host: string;
  /** As it is sent. */
  path: string;
  /** As it is sent: names in order, names and values encoded. */
  query: string;
  /** Other headers, to be signed too: names in small letters. */
  headers?: Readonly<Record<string, string>>;
}

/** The sha256 of nothing. */
const EMPTY = hash('sha256', '');

/**
 * Signs by what the S3 documentation calls "Signature Calculations for the Authorization Header".
 *
 * NOTE: the SDK's signer does the same for every kind of request, at some five times the cost, which
 * a listing pays once for each record.
 */
export class GetSigner {
  readonly #region: string;
  #day = '';
  #secret = '';
  #key: Buffer = Buffer.alloc(0);

  constructor(region: string) {
    this.#region = region;
  }

  /** All headers to send. `now`: what the server takes for the time. */
  sign(request: GetToSign, credentials: Credentials, now: Date): Record<string, string> {
    const { sessionToken, accessKeyId, secretAccessKey } = credentials;
    const time = `${now.toISOString().slice(0, 19).replace(/[-:]/g, '')}Z`;
    const day = time.slice(0, 8);
    const headers: Record<string, string> = {
      ...request.headers,
      ...{ host: request.host, 'x-amz-content-sha256': EMPTY, 'x-amz-date': time },
      ...(sessionToken ? { 'x-amz-security-token': sessionToken } : {}),
    };
    const names = Object.keys(headers).sort();
    const lines = names.map((name) => `${name}:${headers[name]}\n`).join('');
    const signed = names.join(';');
    const canonical = `GET\n${request.path}\n${request.query}\n${lines}\n${signed}\n${EMPTY}`;
    const scope = `${day}/${this.#region}/s3/aws4_request`;
    const text = `AWS4-HMAC-SHA256\n${time}\n${scope}\n${hash('sha256', canonical)}`;
    const signature = hmac(this.#keyOf(day, secretAccessKey), text).toString('hex');
    headers.authorization = `AWS4-HMAC-SHA256 Credential=${accessKeyId}/${scope}, SignedHeaders=${signed}, Signature=${signature}`;
    return headers;
  }

  #keyOf(day: string, secret: string): Buffer {
    if (day !== this.#day || secret !== this.#secret) {
      const parts = [day, this.#region, 's3', 'aws4_request'];
      this.#key = parts.reduce<Buffer>(
        (key, part) => hmac(key, part),
        Buffer.from(`AWS4${secret}`),
      );
      this.#day = day;
      this.#secret = secret;
    }
    return this.#key;
  }
}

function hmac(key: Buffer, text: string): Buffer {
  return createHmac('sha256', key).update(text).digest();
}
