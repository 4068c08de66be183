// Which images a retention policy keeps, and which ones follow each other.
import { describe, expect, it } from 'vitest';
import { applyRetention, assertPolicy, lineOf } from '#built/registry/lifecycle/retention.js';
import { activeRecord } from './record.ts';

const images = (...times: string[]) =>
  times.map((time, n) =>
    activeRecord({
      id: `00000000-0000-4000-8000-00000000000${n}`,
      created_at: `${time}:00.000Z`,
    }),
  );

function kept(times: readonly string[], policy: Parameters<typeof applyRetention>[1]) {
  return applyRetention(images(...times), policy).flatMap(({ image, reasons }) =>
    reasons.length === 0 ? [] : [`${image.created_at.slice(0, 16)} ${reasons.join()}`],
  );
}

describe('a policy', () => {
  const times = [
    '2026-03-01T10:00',
    '2026-03-01T08:00',
    '2026-02-28T09:00',
    '2026-02-27T09:00',
    '2026-02-20T09:00',
    '2026-01-05T09:00',
    '2025-12-31T09:00',
  ];

  it('keeps the newest images', () => {
    expect(kept(times, { last: 2 })).toEqual(['2026-03-01T10:00 last', '2026-03-01T08:00 last']);
    expect(kept([...times].reverse(), { last: 1 })).toEqual(['2026-03-01T10:00 last']);
  });

  it('keeps the newest of each day, week and month that has one', () => {
    expect(kept(times, { daily: 2 })).toEqual(['2026-03-01T10:00 daily', '2026-02-28T09:00 daily']);
    // The first of March 2026 is a Sunday: it ends the week of the 27th and 28th.
    expect(kept(times, { weekly: 2 })).toEqual([
      '2026-03-01T10:00 weekly',
      '2026-02-20T09:00 weekly',
    ]);
    expect(kept(times, { monthly: 2 })).toEqual([
      '2026-03-01T10:00 monthly',
      '2026-02-28T09:00 monthly',
    ]);
  });

  it('keeps each image that one of its rules keeps', () => {
    expect(kept(times, { last: 1, monthly: 3 })).toEqual([
      '2026-03-01T10:00 last,monthly',
      '2026-02-28T09:00 monthly',
      '2026-01-05T09:00 monthly',
    ]);
  });

  it('keeps the oldest image while a rule has places left', () => {
    const one = ['2026-03-01T10:00', '2026-03-01T09:00', '2026-03-01T08:00'];
    expect(kept(one, { daily: 5 })).toEqual([
      '2026-03-01T10:00 daily',
      '2026-03-01T08:00 oldest daily',
    ]);
  });

  it('counts ISO weeks at the turn of a year', () => {
    // 2024-12-30 is a Monday, of week 1 of 2025.
    const turn = ['2025-01-02T00:00', '2024-12-30T00:00', '2024-12-29T00:00', '2024-12-01T00:00'];
    expect(kept(turn, { weekly: 2 })).toEqual([
      '2025-01-02T00:00 weekly',
      '2024-12-29T00:00 weekly',
    ]);
  });

  it('that keeps nothing is refused', () => {
    for (const policy of [{}, { last: 0, daily: undefined }])
      expect(() => assertPolicy(policy)).toThrowError(expect.objectContaining({ code: 'USAGE' }));
    assertPolicy({ monthly: 1 });
  });
});

describe('a clock that was wrong', () => {
  /** By the last digit of the id: date of the record, and time in the store. */
  const line = (...dates: [created: string, stored: string][]) => {
    const list = images(...dates.map(([created]) => created));
    const times = list.map(({ id }, n) => [id, Date.parse(`${dates[n]?.[1]}:00Z`)] as const);
    return (policy: Parameters<typeof applyRetention>[1]) =>
      applyRetention(list, policy, new Map(times)).map(({ image, reasons, wrongDate }) => {
        return `${image.id.at(-1)} ${wrongDate ? 'wrong' : reasons.join() || 'goes'}`;
      });
  };

  it('and ran ahead: its image is kept, and takes no place of another one', () => {
    const policy = line(
      ['2099-01-01T00:00', '2026-03-01T10:00'],
      ['2026-03-02T10:00', '2026-03-02T10:01'],
      ['2026-03-03T10:00', '2026-03-03T10:01'],
    );
    expect(policy({ last: 1 })).toEqual(['0 wrong', '2 last', '1 goes']);
    expect(policy({ daily: 1, monthly: 1 })).toEqual(['0 wrong', '2 daily,monthly', '1 goes']);
  });

  it('and ran ahead by a day, which has passed since', () => {
    const policy = line(
      ['2026-03-04T09:00', '2026-03-03T09:00'],
      ['2026-03-03T12:00', '2026-03-03T12:01'],
    );
    expect(policy({ last: 1 })).toEqual(['0 wrong', '1 last']);
  });

  it('by some minutes is no wrong clock', () => {
    const policy = line(
      ['2026-03-03T12:14', '2026-03-03T12:00'],
      ['2026-03-02T12:00', '2026-03-02T12:00'],
    );
    expect(policy({ last: 1 })).toEqual(['0 last', '1 goes']);
  });

  it('and ran behind: what came last is kept by the clock of the registry', () => {
    const policy = line(
      ['1970-01-01T00:01', '2026-03-03T10:00'],
      ['2026-03-02T10:00', '2026-03-02T10:01'],
      ['2026-03-01T10:00', '2026-03-01T10:01'],
    );
    expect(policy({ last: 1 })).toEqual(['1 last', '2 goes', "0 last by the registry's clock"]);
    expect(policy({ daily: 1 })).toEqual(['1 daily', '2 goes', "0 daily by the registry's clock"]);
  });

  it('does not matter where both agree: images that were copied in their order', () => {
    const policy = line(
      ['2026-03-01T10:00', '2026-05-01T10:00'],
      ['2026-03-02T10:00', '2026-05-01T10:01'],
      ['2026-03-03T10:00', '2026-05-01T10:02'],
    );
    expect(policy({ last: 2 })).toEqual(['2 last', '1 last', '0 goes']);
  });

  it('is not considered if the store has no times', () => {
    const policy = (list: readonly string[]) => kept(list, { last: 1 });
    expect(policy(['2099-01-01T00:00', '2026-03-01T10:00'])).toEqual(['2099-01-01T00:00 last']);
  });
});

describe('a line', () => {
  const line = (name: string, uuid?: string, data = 'vda.qcow2') =>
    lineOf(
      activeRecord({
        name,
        properties: uuid === undefined ? {} : { instance_uuid: uuid },
        data: { name: data, size: 10, sha256: 'a'.repeat(64) },
      }),
    );

  it('is of one disk of one domain, the time in a default name left out', () => {
    expect(line('web-2026-01-02T030405Z', 'u')).toBe(line('web-2026-03-04T050607Z', 'u'));
    expect(line('web-2026-01-02T030405Z', 'u')).not.toBe(line('web-2026-01-02T030405Z', 'v'));
    expect(line('web', 'u', 'vda.qcow2')).toBe(line('web', 'u', 'vda.raw'));
    expect(line('web', 'u', 'vda.qcow2')).not.toBe(line('web', 'u', 'vdb.qcow2'));
    expect(line('golden', 'u')).not.toBe(line('nightly', 'u'));
  });

  it('of other images is their name', () => {
    expect(line('cirros', undefined, 'disk.raw')).toBe(line('cirros', undefined, 'x.raw'));
    expect(line('cirros')).not.toBe(line('debian'));
  });
});
