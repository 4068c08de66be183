// Sizes, rates and times with units: what each text means, and what is refused.
import { describe, expect, it } from 'vitest';
import { bytesValue, gibValue, secondsValue, wholeRateValue } from '#built/cli/values.js';
import { parseUnit, type Unit, unitOfKey } from '#built/core/units.js';

describe('parseUnit', () => {
  const cases: [string, Unit, number][] = [
    ['100', 'bytes', 100],
    ['100M', 'bytes', 100 * 1024 ** 2],
    ['10MiB', 'bytes', 10 * 1024 ** 2],
    ['10mib', 'bytes', 10 * 1024 ** 2],
    ['10MB', 'bytes', 10_000_000],
    ['1.5G', 'bytes', 1.5 * 1024 ** 3],
    ['16B', 'bytes', 16],
    ['100', 'MiB', 100],
    ['512K', 'MiB', 0.5],
    ['1G/s', 'MiB', 1024],
    ['20', 'GiB', 20],
    ['512M', 'GiB', 0.5],
    ['250', 'ms', 250],
    ['250ms', 'ms', 250],
    ['30s', 'ms', 30_000],
    ['5 min', 'ms', 300_000],
    ['4h', 'ms', 14_400_000],
    ['90', 's', 90],
    ['7d', 's', 604_800],
  ];
  it.each(cases)('%j in %s is %d', (text, unit, expected) => {
    expect(parseUnit(text, unit)).toBe(expected);
  });

  const wrong: [string, Unit][] = [
    ...(['', '-1', 'M', '10X', '10iB', '10M/s', '1e3', '99999999P'] as const).map(
      (text): [string, Unit] => [text, 'bytes'],
    ),
    ...(['1M', '1y', '4H', '10/s', '1 h 30 m'] as const).map((text): [string, Unit] => [
      text,
      'ms',
    ]),
  ];
  it.each(wrong)('%j in %s is refused', (text, unit) => {
    expect(parseUnit(text, unit)).toBeUndefined();
  });
});

it('a key of the configuration ends with its unit', () => {
  expect(['freezeMs', 'maxBytes', 'rateMib', 'retries', 'platforms'].map(unitOfKey)).toEqual([
    ...['ms', 'bytes', 'MiB', undefined, undefined],
  ]);
});

it('flags round a minimum up and a maximum down, and refuse a maximum that rounds to zero', () => {
  expect(gibValue('500M')).toBe(1);
  expect(wholeRateValue('100MB')).toBe(95);
  expect(wholeRateValue('0')).toBe(0);
  expect(() => wholeRateValue('512K')).toThrow('1 MiB/s or more');
  expect(bytesValue('1.5K')).toBe(1536);
  expect(secondsValue('1500ms')).toBe(1);
});
