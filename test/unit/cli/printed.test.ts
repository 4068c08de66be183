// What commands print: sizes, tables, errors, logs, events, the plan.
import { afterEach, describe, expect, it, vi } from 'vitest';
import { failureJson, failureText } from '#built/cli/failure.js';
import { createJsonReporter } from '#built/cli/report/json-reporter.js';
import { StepPace } from '#built/cli/report/pace.js';
import { createPlainReporter } from '#built/cli/report/plain-reporter.js';
import { formatBytes, formatDate, formatDuration, printable } from '#built/cli/views/format.js';
import { formatPlan } from '#built/cli/views/plan-view.js';
import { styleFor } from '#built/cli/views/style.js';
import { cutTo, formatPairs, formatTable } from '#built/cli/views/table.js';
import { PublishError } from '#built/core/errors.js';

const GIB = 1024 ** 3;
const plainStyle = styleFor({ isTTY: false });

describe('format', () => {
  it('sizes in powers of 1024', () => {
    expect([0, 1023, 1024, 1.5 * GIB].map(formatBytes)).toEqual([
      '0 B',
      '1023 B',
      '1 KiB',
      '1.5 GiB',
    ]);
  });

  it('durations', () => {
    expect([40, 9_949, 12_400, 59_700, 185_000, 7_800_000].map(formatDuration)).toEqual([
      ...['0.0 s', '9.9 s', '12 s', '1 min 00 s', '3 min 05 s', '2 h 10 min'],
    ]);
  });

  it('dates, and texts that are no date', () => {
    expect(formatDate('2026-11-21T08:10:07Z')).toMatch(/^2026-11-2\d \d\d:\d0(Z|[+-]\d\d:\d\d)$/);
    expect(formatDate('yester\u001bday')).toBe('yester\\u001bday');
  });

  it('shows control characters and direction overrides of foreign text', () => {
    expect(printable('a\u001b[31mb\u202ec\n')).toBe('a\\u001b[31mb\\u202ec\\u000a');
    expect(printable('ünïcode ☃ 東京')).toBe('ünïcode ☃ 東京');
  });
});

describe('tables', () => {
  it('align columns in any script', () => {
    const columns = [
      { title: 'NAME' },
      { title: 'SIZE', align: 'right' as const },
      { title: 'TAGS' },
    ];
    expect(
      formatTable(columns, [
        ['東京', '6 GiB', ''],
        ['ünï', '12 GiB', '☃'],
      ]).split('\n'),
    ).toEqual(['NAME    SIZE  TAGS', '東京   6 GiB', 'ünï   12 GiB  ☃']);
  });

  it('without rows print their titles', () => {
    expect(formatTable([{ title: 'ID' }, { title: 'NAME' }], [])).toBe('ID  NAME');
  });

  it('pairs and cuts', () => {
    expect(
      formatPairs([
        ['a', '1'],
        ['bcd', '2'],
      ]),
    ).toBe('a    1\nbcd  2');
    expect(cutTo('東京サーバー', 5)).toBe('東京…');
    expect(cutTo('short', 5)).toBe('short');
  });
});

describe('colours', () => {
  it('are used on terminals, unless NO_COLOR is set', () => {
    expect(styleFor({ isTTY: true }, {}).red('x')).toBe('\u001b[31mx\u001b[39m');
    expect(styleFor({ isTTY: true }, { NO_COLOR: '1' }).red('x')).toBe('x');
    expect(styleFor({ isTTY: true }, { NO_COLOR: '' }).red('x')).not.toBe('x');
    expect(styleFor({ isTTY: true }, { TERM: 'dumb' }).red('x')).toBe('x');
    expect(styleFor({ isTTY: false }, {}).red('x')).toBe('x');
  });
});

describe('errors', () => {
  const error = new PublishError('GUEST_NOT_RESTORED', 'the guest web01 could not be restored', {
    step: 'restore',
    cause: new PublishError('MIRROR', 'the mirror failed: I/O error', {
      cause: new Error('I/O error'),
    }),
    undoFailures: [
      new PublishError('LIBVIRT', 'define failed', {
        recoveryCommand: 'virsh define /run/domain.xml',
      }),
      new Error('thaw failed'),
    ],
    recoveryCommand: 'virt-publish recover',
  });

  it('prints causes, failed undos and the hint for people, with the recovery commands last', () => {
    expect(failureText(error, plainStyle).split('\n')).toEqual([
      'virt-publish: the guest web01 could not be restored',
      '  because: the mirror failed: I/O error',
      '  not restored: define failed',
      '  not restored: thaw failed',
      'hint: run the command that is printed last',
      'Run this to restore it:',
      'virsh define /run/domain.xml',
      'virt-publish recover',
      '',
    ]);
  });

  it('prints JSON for programs', () => {
    expect(failureJson(error)).toEqual({
      ...{ type: 'error', code: 'GUEST_NOT_RESTORED', exitCode: 50, step: 'restore' },
      ...{ message: 'the guest web01 could not be restored', retryable: false },
      hint: 'run the command that is printed last',
      causes: ['the mirror failed: I/O error'],
      undoFailures: ['define failed', 'thaw failed'],
      recoveryCommand: ['virsh define /run/domain.xml', 'virt-publish recover'],
    });
  });

  it('print the first stack frame of an internal error', () => {
    expect(failureText(new TypeError('x is no function'), plainStyle)).toMatch(
      /^virt-publish: internal error: x is no function\n {2}at .*\nhint: report it, with the message\n$/,
    );
    expect(failureJson('thrown text')).toMatchObject({ code: 'INTERNAL', exitCode: 1, step: null });
  });
});

describe('the plain log', () => {
  const lines: string[] = [];
  let time = 0;
  const reporter = (quiet = false) => {
    lines.length = 0;
    time = 0;
    return createPlainReporter(
      (line) => lines.push(line.replace(/^\d\d:\d\d:\d\d /, '')),
      quiet,
      () => time,
    );
  };

  it('prints a line for each step, and progress every ten seconds at most', () => {
    const { onEvent } = reporter();
    onEvent({ type: 'run', runId: '4c1d8e2f-5b1c', domain: 'web01' });
    onEvent({ type: 'step', step: 'convert', state: 'started' });
    for (time = 1000; time <= 25_000; time += 1000)
      onEvent({
        type: 'progress',
        step: 'convert',
        bytes: time * 1024 ** 2,
        total: 50_000 * 1024 ** 2,
      });
    onEvent({ type: 'step', step: 'convert', state: 'done', ms: 25_000 });
    onEvent({ type: 'step', step: 'check', state: 'failed', ms: 100, detail: 'leaks' });
    expect(lines).toEqual([
      '4c1d8e2f run 4c1d8e2f-5b1c on web01',
      '4c1d8e2f convert: 20 %, 9.77 GiB of 48.8 GiB, 1000 MiB/s, 40 s left',
      '4c1d8e2f convert: 40 %, 19.5 GiB of 48.8 GiB, 1000 MiB/s, 30 s left',
      '4c1d8e2f convert done in 25 s: 24.4 GiB, 1000 MiB/s',
      '4c1d8e2f check failed in 0.1 s: leaks',
    ]);
  });

  it('prints only warnings with --quiet', () => {
    const { onEvent } = reporter(true);
    onEvent({ type: 'step', step: 'queue', state: 'done', ms: 1 });
    onEvent({ type: 'note', level: 'info', step: 'inspect', message: 'live' });
    onEvent({ type: 'note', level: 'warning', step: 'quiesce', message: 'no\u001bagent' });
    expect(lines).toEqual(['warning: quiesce: no\\u001bagent']);
  });
});

describe('pace', () => {
  it('is computed over the last seconds, and is empty before that', () => {
    const pace = new StepPace(0);
    pace.add(500, GIB, 10 * GIB);
    expect(pace.describe(500)).toBe('1 GiB of 10 GiB');
    for (let at = 1000; at <= 10_000; at += 500)
      pace.add(at, at < 5000 ? GIB : GIB + (at - 5000) * 1024 ** 2, 10 * GIB);
    expect(pace.describe(10_000)).toMatch(/^5\.88 GiB of 10 GiB, \d+ MiB\/s, \d s left$/);
    expect(new StepPace(0).fraction).toBe(0);
  });
});

describe('NDJSON', () => {
  afterEach(() => vi.useRealTimers());

  it('gives each event its time and run', () => {
    vi.useFakeTimers({ now: new Date('2026-01-01T00:00:00Z') });
    const reported: object[] = [];
    const { onEvent, say } = createJsonReporter((value) => reported.push(value));
    onEvent({ type: 'note', level: 'info', step: 'inspect', message: 'early' });
    onEvent({ type: 'run', runId: 'r1', domain: 'web01' });
    onEvent({ type: 'step', step: 'queue', state: 'done', ms: 1 });
    say('stopping');
    const time = '2026-01-01T00:00:00.000Z';
    expect(reported).toEqual([
      { time, runId: null, type: 'note', level: 'info', step: 'inspect', message: 'early' },
      { time, runId: 'r1', type: 'run', domain: 'web01' },
      { time, runId: 'r1', type: 'step', step: 'queue', state: 'done', ms: 1 },
      { time, runId: 'r1', type: 'note', level: 'warning', step: null, message: 'stopping' },
    ]);
  });
});

it('the plan prints disk, mode, reasons, what is undefined, and where space is short', () => {
  const vda = { target: 'vda', bus: 'virtio', source: '/d.qcow2', format: 'qcow2' };
  const disk = { ...vda, virtualSize: 12 * GIB };
  const backingChain = [{ path: '/b.raw', format: 'raw' }];
  const second = { ...disk, target: 'vdb', bus: 'scsi', source: '/e.raw', format: 'raw' };
  const text = formatPlan({
    domain: { name: 'web01', uuid: 'u', state: 'running', persistent: true, autostart: true },
    disk,
    rootReason: 'vda is taken for the root disk: sda is read-only',
    backingChain,
    disks: [
      { ...disk, backingChain },
      { ...second, backingChain: [] },
    ],
    mode: 'live',
    modeReason: 'the domain runs',
    method: 'rebase',
    methodReason: 'nothing would be lost',
    quiesce: 'try',
    pauses: true,
    nvram: '/n.fd',
    undefines: ['the definition', 'autostart'],
    detaches: [],
    image: { name: 'web', diskFormat: 'qcow2', compress: 'zstd' },
    sysprep: null,
    registry: 's3://images',
    space: [{ directory: '/w', purpose: 'delta and image', needed: 3 * GIB, available: 2 * GIB }],
    obstacles: [{ code: 'NO_SPACE', message: 'too little free space', hint: 'free some' }],
  });
  expect(text.split('\n')).toEqual([
    'Domain       web01 (u), running, persistent, autostart',
    'Disk         vda on virtio, 12 GiB',
    'Source       /d.qcow2 (qcow2)',
    '  on top of  /b.raw (raw)',
    'Disk         vdb on scsi, 12 GiB',
    'Source       /e.raw (raw)',
    'Root disk    vda is taken for the root disk: sda is read-only',
    'Mode         live: the domain runs',
    'Method       rebase: nothing would be lost',
    'Quiesce      try: it is not frozen, so the guest is paused for the point in time',
    'NVRAM        /n.fd is published as nvram.fd',
    'Undefines    the definition, autostart',
    'Detaches     nothing',
    'Image        web, qcow2, compressed with zstd',
    'Registry     s3://images',
    'Space        delta and image in /w: needs up to 3 GiB, 2 GiB to spare: too little',
    'Obstacle     too little free space (NO_SPACE)',
    '  hint       free some',
  ]);
});
