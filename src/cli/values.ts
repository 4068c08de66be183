// Sizes, ages and times as people write them on the command line.
import { InvalidArgumentError } from './options.ts';

const UNITS = ['', 'K', 'M', 'G', 'T', 'P'];
const SECONDS: Readonly<Record<string, number>> = { s: 1, m: 60, h: 3600, d: 86_400, w: 604_800 };

/** Bytes: `500`, `1GiB`, `1.5G` (1024), `10MB` (1000). */
export function sizeValue(text: string): number {
  const [, digits = '', unit = '', kind = ''] =
    /^(\d+(?:\.\d+)?)\s*([KMGTP]?)(iB|B)?$/i.exec(text.trim()) ?? [];
  const base = unit !== '' && kind.toUpperCase() === 'B' ? 1000 : 1024;
  const bytes = Math.round(Number(digits) * base ** UNITS.indexOf(unit.toUpperCase()));
  if (digits !== '' && Number.isSafeInteger(bytes)) return bytes;
  throw new InvalidArgumentError('It must be a size, as 500MB or 1GiB.');
}

/** Milliseconds: `90s`, `24h`, `7d`, `2w`. */
export function ageValue(text: string): number {
  const [, digits = '', unit = ''] = /^(\d+)\s*([smhdw])$/.exec(text.trim()) ?? [];
  const ms = Number(digits) * (SECONDS[unit] ?? 0) * 1000;
  if (digits !== '' && Number.isSafeInteger(ms)) return ms;
  throw new InvalidArgumentError('It must be an age, as 90s, 24h, 7d or 2w.');
}

/** Milliseconds since 1970: a date, a time (of this machine's zone unless it names one), or an age. */
export function timeValue(text: string): number {
  if (/^\d+\s*[smhdw]$/.test(text.trim())) return Date.now() - ageValue(text);
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(isDate ? `${text}T00:00` : text) : NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError(
    'It must be a time, as 2026-01-31, 2026-01-31T12:00Z or 7d (ago).',
  );
}
