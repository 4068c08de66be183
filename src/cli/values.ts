// Sizes, rates, ages and times as people write them on the command line.
import { EXAMPLES, parseUnit, type Unit } from '../core/units.ts';
import { InvalidArgumentError } from './options.ts';

/** Whole bytes: `500`, `1GiB`, `1.5G` (1024), `10MB` (1000). */
export const bytesValue = (text: string) => Math.round(valueIn(text, 'bytes'));

/** Whole MiB, as much as is needed: `512`, `2G`. */
export const mibValue = (text: string) => Math.ceil(valueIn(text, 'MiB'));

/** Whole GiB, as much as is needed: `20`, `20G`, `500M` (1). */
export const gibValue = (text: string) => Math.ceil(valueIn(text, 'GiB'));

/** MiB a second, also parts of one: `0.5`, `512K`, `10MB/s`. */
export const rateValue = (text: string) => valueIn(text, 'MiB');

/** Returns whole MiB a second, rounded down: `100`, `100M`, `1G/s`. */
export function wholeRateValue(text: string): number {
  const rate = valueIn(text, 'MiB');
  if (rate === 0 || rate >= 1) return Math.floor(rate);
  throw new InvalidArgumentError('It must be 1 MiB/s or more; 0 is no cap.');
}

/** Whole seconds: `90`, `90s`, `15m`, `7d`. */
export const secondsValue = (text: string) => Math.floor(valueIn(text, 's'));

/** Milliseconds: `90s`, `24h`, `7d`, `2w`. A plain number is refused. */
export function ageValue(text: string): number {
  const ms = isAge(text) ? parseUnit(text, 'ms') : undefined;
  if (ms !== undefined) return Math.round(ms);
  throw new InvalidArgumentError('It must be an age, such as 90s, 30m, 24h, 7d or 2w.');
}

/** Milliseconds since 1970: a date, a time (in this host's zone unless it names one), or an age. */
export function timeValue(text: string): number {
  if (isAge(text)) return Date.now() - ageValue(text);
  const isDate = /^\d{4}-\d\d-\d\d$/.test(text);
  const time = /^\d{4}-\d\d-\d\d/.test(text) ? Date.parse(isDate ? `${text}T00:00` : text) : NaN;
  if (!Number.isNaN(time)) return time;
  throw new InvalidArgumentError(
    'It must be a time, as 2026-01-31, 2026-01-31T12:00Z or 7d (ago).',
  );
}

function isAge(text: string): boolean {
  return /^\s*\d+(\.\d+)?\s*[a-z]+\s*$/.test(text);
}

function valueIn(text: string, unit: Unit): number {
  const value = parseUnit(text, unit);
  if (value !== undefined) return value;
  throw new InvalidArgumentError(`It must be ${EXAMPLES[unit]}.`);
}
