// Masks passwords, tokens and keys in text that is shown: errors, events, messages of programs and servers.

const MASK = '***';

/** Parts of the names of JSON keys, options and attributes whose value is a secret. */
const SECRET =
  'passw(?:or)?d|passphrase|secret|token|cookie|credential|signature|api-?key|access-?key|private-?key|authorization|keyvalue-pairs';
/** Short names, whose values are secrets only in JSON, in a query or in an option list. */
const SHORT = '(?:[\\w.-]{0,64}[.-])?(?:key|sig|auth|pass|pwd|jwt)';
const NAMED = `=?[\\w.-]{0,64}?(?:${SECRET})[\\w.-]{0,64}`;
// NOTE: repetitions are bounded, so that the time does not grow with the square of the text.
const SCHEME = '(?<![a-z0-9+.-])[a-z][a-z0-9+.-]{0,100}:(?:\\\\?/){2}';

/**
 * `"password": "…"` as JSON has it, also with single quotes, as a string within a string, or cut off
 * in the middle: the `json:{…}` file names of QEMU, its command lines, configurations.
 */
const JSON_ENTRY = new RegExp(
  `(\\\\{0,8}["'])(${NAMED}|${SHORT})\\1(\\s*:\\s*)(?:\\1[\\s\\S]*?(?:(?<!\\\\)\\1|$)|\\[[^\\]]*\\]?|\\{[^}]*\\}?|[^\\s,}\\]"']+)`,
  'gi',
);
/** `<cookie name='a'>…</cookie>` */
const XML_ELEMENT =
  /(<(?:cookie|passw(?:or)?d|passphrase|secret|token)\b[^<>]{0,1000}(?<!\/)>)[^<]+/gi;
/** `https://user:password@host`, `iscsi://user%password@host` */
const USER_INFO = new RegExp(`(${SCHEME})([^\\s/?#]{0,4000})@`, 'gi');
/** The same with a `/`, `?` or `#` in the password, or cut off before the `@`: what follows is no port. */
const BROKEN_USER_INFO = new RegExp(
  `(${SCHEME})[^\\s/?#:@[\\]"'<>]{1,4000}:(?!\\d*(?:[/?#\\s"'<>),;.:\\\\]|$))(?:\\S{0,4000}@|[^\\s"'<>]*)`,
  'gi',
);
/** The query and fragment of a URL with a host, without the punctuation of the sentence around it. */
const QUERY = new RegExp(
  `(${SCHEME}[^\\s/?#"'<>][^\\s?#"<>]{0,4000})[?#][^\\s"<>]*?(?=['),.;:\\]}]{0,8}(?:[\\s"<>]|$))`,
  'gi',
);
/** `password=…`, `passwd='…'`, `rbd:pool/image:key=…`, `X-Amz-Signature=…` */
const OPTION = new RegExp(
  `((?:(?<![\\w.-])${NAMED}|(?<=[?&:,.])${SHORT})\\s?=\\s?)(?:(\\\\{0,8}["'])[\\s\\S]*?(?:(?<!\\\\)\\2|$)|[^\\s"'<>]+)`,
  'gi',
);
/** `-object secret,id=a,data=…` of a QEMU command line. */
const SECRET_OBJECT = /(\bsecret,[^\s"']{0,1000}?\bdata=)[^\s"']+/gi;
/** Headers of HTTP, to the end of their line. */
const HEADER =
  /\b((?:proxy-)?authorization|(?:set-)?cookie|x-[\w-]{0,64}(?:token|secret|key|auth)[\w-]{0,64}|passw(?:or)?d|passphrase)(\s?:\s?)(?!\s|\*\*\*)[^\r\n]+/gi;
const BEARER = /\b(bearer\s+)[\w.~+/=-]{8,}/gi;
/** A Ceph key, anywhere. */
const CEPH_KEY = /\bAQ[A-Za-z0-9+/]{36}==/g;

/** Schemes with a user name that is no secret: `ssh://root@host`. */
const LOGIN = /^(?:[a-z0-9]+\+)?(?:ssh|sftp|libssh2?):/i;

/**
 * Returns the text with each secret as `***`: user names and passwords in URLs, query strings and
 * fragments of URLs, values whose name says that they are secret (JSON, XML, options, headers). Text
 * that was cut off in the middle of a secret has it masked too. A second call changes nothing.
 */
export function withoutSecrets(text: string): string {
  return text
    .replace(JSON_ENTRY, (_, quote: string, key: string, colon: string) => {
      return `${quote}${key}${quote}${colon}${quote}${MASK}${quote}`;
    })
    .replace(XML_ELEMENT, `$1${MASK}`)
    .replace(USER_INFO, (whole: string, scheme: string, user: string) => {
      return LOGIN.test(scheme) && /^[\w.-]+$/.test(user) ? whole : `${scheme}${MASK}@`;
    })
    .replace(BROKEN_USER_INFO, `$1${MASK}@`)
    .replace(QUERY, `$1?${MASK}`)
    .replace(OPTION, (_, name: string, quote = '') => `${name}${quote}${MASK}${quote}`)
    .replace(SECRET_OBJECT, `$1${MASK}`)
    .replace(HEADER, `$1$2${MASK}`)
    .replace(BEARER, `$1${MASK}`)
    .replace(CEPH_KEY, MASK);
}
