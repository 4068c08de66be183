// Reads what qemu-img prints: JSON reports and progress lines. Pure.
import { PublishError } from '../core/errors.ts';
import type {
  CheckResult,
  InternalSnapshot,
  MapExtent,
  MeasureResult,
  QemuImgInfo,
} from './qemu-img-types.ts';

type Json = Record<string, unknown>;

/** @throws PublishError QEMU_IMG if the output is not that of `qemu-img info`. */
export function parseInfo(output: string): QemuImgInfo {
  const info = parseObject('info', output);
  const specific = objectOf(objectOf(info['format-specific']).data);
  return {
    format: stringOf(info.format) ?? missing('info', 'format'),
    virtualSize: numberOf(info['virtual-size']) ?? missing('info', 'virtual-size'),
    actualSize: numberOf(info['actual-size']) ?? 0,
    clusterSize: numberOf(info['cluster-size']),
    backingFile: stringOf(info['backing-filename']),
    fullBackingFile: stringOf(info['full-backing-filename']),
    backingFormat: stringOf(info['backing-filename-format']),
    dataFile: stringOf(specific['data-file']),
    encrypted: info.encrypted === true || specific.encrypt !== undefined,
    dirty: info['dirty-flag'] === true,
    corrupt: specific.corrupt === true,
    lazyRefcounts: specific['lazy-refcounts'] === true,
    compressionType: stringOf(specific['compression-type']),
    compat: stringOf(specific.compat),
    subformat: stringOf(specific['create-type']),
    snapshots: listOf(info.snapshots).map(toSnapshot),
  };
}

/** The exit code is the verdict (0 clean, 2 corrupt, 3 leaks); the report holds the counts. */
export function parseCheck(exitCode: number, output: string): CheckResult {
  const report = parseObject('check', output);
  const state = exitCode === 0 ? 'clean' : exitCode === 3 ? 'leaks' : 'corrupt';
  return {
    state,
    leaks: numberOf(report.leaks) ?? 0,
    corruptions: numberOf(report.corruptions) ?? 0,
  };
}

/**
 * Returns a reader of `map` output, to be called with each piece of it. The output has an extent a
 * line; that of a large disk is never held as a whole.
 */
export function mapReader(use: (extent: MapExtent) => void): (piece: string) => void {
  let rest = '';
  return (piece) => {
    const lines = (rest + piece).split('\n');
    rest = lines.pop() ?? '';
    for (const line of lines) {
      const extent = line.replace(/^\[/, '').replace(/[\],]+\s*$/, '');
      if (extent.trim() !== '') use(toExtent(parseJson('map', extent)));
    }
  };
}

export function parseMeasure(output: string): MeasureResult {
  const report = parseObject('measure', output);
  return {
    required: numberOf(report.required) ?? missing('measure', 'required'),
    fullyAllocated: numberOf(report['fully-allocated']) ?? missing('measure', 'fully-allocated'),
  };
}

/** `qemu-img version 7.2.22 (Debian 1:7.2+...)` gives `7.2.22`. */
export function parseVersion(output: string): string {
  return (
    /^qemu-img version (\d+(?:\.\d+)*)/.exec(output)?.[1] ?? missing('--version', 'version number')
  );
}

/**
 * Returns a reader of `-p` output, to be called with each piece of it. It returns the newest percentage
 * (0 to 100), or null if the piece has none. A number that is split between two pieces is joined.
 */
export function progressReader(): (piece: string) => number | null {
  let rest = '';
  return (piece) => {
    const text = rest + piece;
    const last = [...text.matchAll(/\((\d+(?:\.\d+)?)\/100%\)/g)].at(-1);
    rest = text.slice(last === undefined ? -32 : last.index + last[0].length).slice(-32);
    return last?.[1] === undefined ? null : Number(last[1]);
  };
}

function toSnapshot(entry: unknown): InternalSnapshot {
  const snapshot = objectOf(entry);
  return {
    id: stringOf(snapshot.id) ?? '',
    name: stringOf(snapshot.name) ?? '',
    vmStateSize: numberOf(snapshot['vm-state-size']) ?? 0,
    date: new Date((numberOf(snapshot['date-sec']) ?? 0) * 1000).toISOString(),
  };
}

function toExtent(entry: unknown): MapExtent {
  const extent = objectOf(entry);
  return {
    start: numberOf(extent.start) ?? missing('map', 'start'),
    length: numberOf(extent.length) ?? missing('map', 'length'),
    depth: numberOf(extent.depth) ?? 0,
    // NOTE: `present` came with QEMU 6.1; before that, only `data` shows whether a layer has the extent.
    present: extent.present === undefined ? extent.data === true : extent.present === true,
    zero: extent.zero === true,
    data: extent.data === true,
    // NOTE: `compressed` came with QEMU 8.2; before that it is taken as false.
    compressed: extent.compressed === true,
    offset: numberOf(extent.offset),
  };
}

function parseObject(command: string, output: string): Json {
  const value = parseJson(command, output);
  return typeof value === 'object' && value !== null ? objectOf(value) : missing(command, 'JSON');
}

function parseJson(command: string, output: string): unknown {
  try {
    return JSON.parse(output) as unknown;
  } catch (cause) {
    return missing(command, 'JSON', cause);
  }
}

function missing(command: string, what: string, cause?: unknown): never {
  const message = `the output of qemu-img ${command} has no ${what}`;
  const hint = "check that the qemu-img in PATH is QEMU's, 4.2 or later";
  throw new PublishError('QEMU_IMG', message, { cause, hint });
}

function objectOf(value: unknown): Json {
  return typeof value === 'object' && value !== null ? (value as Json) : {};
}

function listOf(value: unknown): readonly unknown[] {
  return Array.isArray(value) ? value : [];
}

function stringOf(value: unknown): string | null {
  return typeof value === 'string' ? value : null;
}

function numberOf(value: unknown): number | null {
  return typeof value === 'number' ? value : null;
}
