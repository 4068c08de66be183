// The plain facts of what the SDK threw: name, status, text, and the code of the system. Pure.

export interface Facts {
  /** The server's code, such as `NoSuchKey`; else the error's name. */
  name: string;
  /** HTTP's; undefined if no answer came. */
  status: number | undefined;
  /** Without secrets. */
  text: string;
}

/** Returns the facts of any thrown value. */
export function factsOf(error: unknown): Facts {
  if (!(error instanceof Error)) return { name: 'Error', status: undefined, text: String(error) };
  const { $metadata } = error as { $metadata?: { httpStatusCode?: number } };
  const code = 'Code' in error && typeof error.Code === 'string' ? error.Code : error.name;
  const text = error.message === '' || error.message === code ? code : `${code}: ${error.message}`;
  return { name: code, status: $metadata?.httpStatusCode, text: withoutSecrets(text) };
}

/** Node's or OpenSSL's code, of the error or of what caused it. */
export function systemCode(error: unknown): string | undefined {
  for (let at: unknown = error; at instanceof Error; at = at.cause) {
    if ('code' in at && typeof at.code === 'string') return at.code;
    const inner =
      at instanceof AggregateError ? at.errors.map(systemCode).find(Boolean) : undefined;
    if (inner !== undefined) return inner;
  }
  return undefined;
}

// NOTE: the text of a server goes into messages, records and logs; some repeat the request they
// refused, with the key, the signature and the session's token in it.
function withoutSecrets(text: string): string {
  return text
    .replaceAll(
      /\b(Credential|Signature|X-Amz-[A-Za-z-]*|AWSAccessKeyId)(=|: ?)[^\s,;&<"]+/gi,
      '$1$2…',
    )
    .replaceAll(/\bA[KS]IA[0-9A-Z]{12,}/g, '…');
}
