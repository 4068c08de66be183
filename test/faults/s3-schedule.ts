// A seed's schedule of faults: what is done to each request, whatever order the requests come in.
import type { Fault } from '../support/faulty-proxy.ts';

export type RequestKind =
  | 'start'
  | 'part'
  | 'complete'
  | 'abort'
  | 'uploads'
  | 'parts'
  | 'list'
  | 'head'
  | 'get'
  | 'put'
  | 'delete';

export interface Schedule {
  seed: number;
  /** How many of a hundred requests get a fault. */
  percent: number;
  fault(method: string, url: string): Fault | undefined;
}

const xml = (code: string) =>
  `<?xml version="1.0"?><Error><Code>${code}</Code><Message>planted</Message></Error>`;

export const SLOW_DOWN = { status: 503, body: xml('SlowDown') };
export const INTERNAL_ERROR = { status: 500, body: xml('InternalError') };
export const EXPIRED = { status: 403, body: xml('ExpiredToken') };
export const INVALID_KEY = { status: 403, body: xml('InvalidAccessKeyId') };
export const LIES = { status: 200, body: xml('InternalError') };

const LIGHT: readonly Fault[] = [
  ...([
    'reset',
    'reset',
    'reset-middle',
    'lose',
    'lose',
    'garbage',
    'stall',
    'stall-after',
  ] as const),
  ...(['short', 'cut', 'closed'] as const),
  ...[SLOW_DOWN, SLOW_DOWN, { ...SLOW_DOWN, early: true }, INTERNAL_ERROR],
  { ...INTERNAL_ERROR, after: true },
];
/** `twice` is nothing for a start: a relay that repeated a POST would be broken. */
const OF_KIND: Partial<Record<RequestKind, readonly Fault[]>> = {
  part: ['twice', { etag: `"${'0'.repeat(32)}"` }],
  complete: ['twice', LIES, { ...LIES, after: true }, { status: 200, body: '' }],
  abort: ['twice'],
  put: ['twice', { etag: `"${'0'.repeat(32)}"` }],
  head: [{ etag: `"${'0'.repeat(32)}-7"` }],
};
/** From the request that meets it on, nothing else is answered any more. */
const STICKY: readonly Fault[] = [EXPIRED, INVALID_KEY, 'reset', 'lose'];

/**
 * The schedule of a seed. What is done to a request depends on the seed, on what the request is,
 * and on how often the same was asked before: parts that race each other change nothing.
 */
export function makeSchedule(seed: number): Schedule {
  const percent = [5, 10, 20, 30, 40][seed % 5] ?? 10;
  const times = new Map<string, number>();
  let sticky: Fault | undefined;
  const fault = (method: string, url: string): Fault | undefined => {
    if (sticky !== undefined) return sticky;
    const name = nameOf(method, url);
    const nth = (times.get(name) ?? 0) + 1;
    times.set(name, nth);
    const random = randomOf(`${seed}/${name}/${nth}`);
    if (random() * 200 < 1) {
      sticky = pick(STICKY, random());
      return sticky;
    }
    if (random() * 100 >= percent) return undefined;
    return pick([...LIGHT, ...(OF_KIND[kindOf(method, url)] ?? [])], random());
  };
  return { seed, percent, fault };
}

export function kindOf(method: string, url: string): RequestKind {
  const { searchParams } = new URL(url, 'http://host');
  if (searchParams.has('uploads')) return method === 'POST' ? 'start' : 'uploads';
  if (searchParams.has('uploadId')) {
    const kinds = { PUT: 'part', POST: 'complete', DELETE: 'abort', GET: 'parts' } as const;
    return kinds[method as keyof typeof kinds];
  }
  if (searchParams.has('list-type')) return 'list';
  return method.toLowerCase() as RequestKind;
}

/** The request without what differs from run to run: bucket, ids, what is asked to go on after. */
function nameOf(method: string, url: string): string {
  const { pathname, searchParams } = new URL(url, 'http://host');
  const part = searchParams.get('partNumber') ?? '';
  const prefix = searchParams.get('prefix') ?? '';
  const place = `${pathname.split('/').slice(2).join('/')}?${prefix}`;
  const plain = place.replaceAll(/[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}/g, 'ID');
  return `${method} ${kindOf(method, url)} ${plain} ${part}`;
}

function pick<T>(list: readonly T[], at: number): T {
  return list[Math.floor(at * list.length)] as T;
}

/** Numbers from 0 to 1 that a text decides (FNV-1a, then mulberry32). */
function randomOf(text: string): () => number {
  let state = 0x811c9dc5;
  for (const char of text) state = Math.imul(state ^ char.charCodeAt(0), 0x01000193);
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 4294967296;
  };
}
