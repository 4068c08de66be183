// Parses sizes, rates and times with units, for flags, configuration and environment. Pure.

/** The unit of a plain number and of the result. */
export type Unit = 'ms' | 's' | 'bytes' | 'MiB' | 'GiB';

const MIB = 1024 ** 2;
const TIMES: Readonly<Record<string, number>> = {
  ...{ ms: 1, s: 1000, m: 60_000, min: 60_000, h: 3_600_000 },
  ...{ d: 86_400_000, w: 604_800_000 },
};
const PREFIXES = ['', 'K', 'M', 'G', 'T', 'P'];
/** In milliseconds or bytes. */
const FACTORS: Readonly<Record<Unit, number>> = {
  ...{ ms: 1, s: 1000, bytes: 1, MiB: MIB, GiB: 1024 * MIB },
};

/** Describes the accepted values of a unit, for help and messages. */
export const EXAMPLES: Readonly<Record<Unit, string>> = {
  ms: 'milliseconds, or a time such as 250ms, 30s, 15m, 4h or 7d',
  s: 'seconds, or a time such as 90s, 15m, 4h or 7d',
  bytes: 'bytes, or a size such as 100M, 10MiB (1024) or 10MB (1000)',
  MiB: 'MiB, or a size such as 512K, 100M, 10GiB (1024) or 10GB (1000)',
  GiB: 'GiB, or a size such as 500M, 20G, 20GiB (1024) or 20GB (1000)',
};

/**
 * Returns the value in `unit`, not necessarily an integer, or `undefined` if the text is no such value.
 * A plain number is in `unit`. `K`, `M`, `G`, `T`, `P`, with or without `iB`, are powers of 1024; `KB`,
 * `MB`, `GB`, `TB`, `PB` powers of 1000. A value in MiB may be a rate and end in `/s`.
 */
export function parseUnit(text: string, unit: Unit): number | undefined {
  const [, digits, word = ''] = /^(\d+(?:\.\d+)?)\s*([a-z]*)(?:\/s)?$/i.exec(text.trim()) ?? [];
  if (digits === undefined) return undefined;
  const isTime = unit === 'ms' || unit === 's';
  if (text.includes('/') && unit !== 'MiB') return undefined;
  const factor = word === '' ? FACTORS[unit] : isTime ? TIMES[word] : sizeFactor(word);
  if (factor === undefined) return undefined;
  const base = Number(digits) * factor;
  return Number.isSafeInteger(Math.round(base)) ? base / FACTORS[unit] : undefined;
}

function sizeFactor(word: string): number | undefined {
  const [, prefix = '', kind = ''] = /^([kmgtp]?)(ib|b)?$/i.exec(word) ?? [word, '?'];
  const power = PREFIXES.indexOf(prefix.toUpperCase());
  if (power < 0 || (power === 0 && kind.toLowerCase() === 'ib')) return undefined;
  return (power > 0 && kind.toLowerCase() === 'b' ? 1000 : 1024) ** power;
}

/** Returns the unit that a configuration key's name ends with, or `undefined`. */
export function unitOfKey(key: string): Unit | undefined {
  if (/(^m|M)s$/.test(key)) return 'ms';
  if (key.endsWith('Bytes')) return 'bytes';
  return key.endsWith('Mib') ? 'MiB' : undefined;
}
