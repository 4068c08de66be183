// The real qemu-img, typed: info, create, convert, check, compare, map, measure.
import type { Step } from '../core/errors.ts';
import type { TargetFormat } from '../core/model.ts';
import { makePrivateFile } from '../host/files/private-file.ts';
import { cacheModeFor } from './cache-mode.ts';
import { commandLine } from './command-line.ts';
import {
  checkArgs,
  compareArgs,
  convertArgs,
  createArgs,
  infoArgs,
  mapArgs,
  measureArgs,
  requireCompression,
} from './qemu-img-args.ts';
import { qemuImgFailure } from './qemu-img-failure.ts';
import {
  mapReader,
  parseCheck,
  parseInfo,
  parseMeasure,
  parseVersion,
  progressReader,
} from './qemu-img-output.ts';
import type {
  CallLimits,
  CheckResult,
  CompareResult,
  Converted,
  ConvertRequest,
  MapExtent,
  MeasureResult,
  OverlayRequest,
  QemuImgInfo,
  SourceImage,
} from './qemu-img-types.ts';
import { runProgram } from './run-program.ts';
import { writeFailureOf } from './write-failure.ts';

export { qemuFormat, requireCompression, supportsCompression } from './qemu-img-args.ts';
export type * from './qemu-img-types.ts';

/** The deadline of a call that names none. */
const LAST_DEADLINE_MS = 10 * 60_000;

/** Exit code of `check` on a format that has nothing to check. */
const NO_CHECK = 63;

interface Call extends CallLimits {
  args: readonly string[];
  path: string;
  step: Step;
  /** Exit codes that are answers, not failures. */
  answers?: readonly number[];
  onOutput?: (piece: string) => void;
}

// Every function here throws PublishError NO_SPACE if a file system is full and QEMU_IMG for any other
// failure of qemu-img. After an abort it throws the signal's reason when the child has ended.

/** Returns the facts of one layer. Its backing files are neither opened nor probed. */
export async function info(request: SourceImage & CallLimits): Promise<QemuImgInfo> {
  const call = { ...request, args: infoArgs(request), step: 'inspect' as const };
  return parseInfo((await run(call)).stdout);
}

/**
 * Creates an empty overlay. It overwrites an existing file; after an abort or a failure the caller
 * removes the partial file.
 */
export async function createOverlay(request: OverlayRequest): Promise<void> {
  const args = createArgs(request.path, request.virtualSize, request.backing);
  await makeTarget(request.path);
  await run({ ...request, args, step: 'delta' });
}

/**
 * Writes the source and all layers below it as one flat image. It overwrites an existing target; after
 * an abort or a failure the caller removes the partial file.
 * @throws PublishError USAGE, before anything runs, if the format has no such compression.
 */
export async function convert(request: ConvertRequest): Promise<Converted> {
  const { source, target, compress, virtualSize, onProgress } = request;
  requireCompression(target.format, compress);
  await makeTarget(target.path);
  const cache = await cacheModeFor(target.path, compress);
  const args = convertArgs(source, { ...target, cache }, compress);
  const readPercent = progressReader();
  let reported = 0;
  const onOutput = (piece: string) => {
    const bytes = Math.floor(((readPercent(piece) ?? 0) / 100) * virtualSize);
    if (bytes <= reported || bytes >= virtualSize) return;
    reported = bytes;
    onProgress?.(bytes, virtualSize);
  };
  const path = `${source.path} to ${target.path}`;
  await run({ ...request, args, path, step: 'convert', onOutput });
  onProgress?.(virtualSize, virtualSize);
  return { direct: cache === 'none' };
}

/** Returns whether the format's own tables are intact. Damage is an answer, not an error. */
export async function check(request: SourceImage & CallLimits): Promise<CheckResult> {
  const answers = [0, 2, 3, NO_CHECK];
  const call = { ...request, args: checkArgs(request), step: 'check' as const, answers };
  const { exitCode, stdout } = await run(call);
  if (exitCode === NO_CHECK) return { state: 'not applicable', leaks: 0, corruptions: 0 };
  return parseCheck(exitCode, stdout);
}

/** Returns whether two images read the same. The shorter one counts as filled up with zeros. */
export async function compare(
  a: SourceImage,
  b: SourceImage,
  limits: CallLimits = {},
): Promise<CompareResult> {
  const path = `${a.path} and ${b.path}`;
  const call = { ...limits, args: compareArgs(a, b), path, step: 'check' as const };
  const { exitCode, stdout } = await run({ ...call, answers: [0, 1] });
  return { identical: exitCode === 0, detail: stdout.trim() };
}

/** Calls `onExtent` for each run of bytes of the whole chain, in order, with the layer it comes from. */
export async function map(
  request: SourceImage & CallLimits,
  onExtent: (extent: MapExtent) => void,
): Promise<void> {
  const onOutput = mapReader(onExtent);
  await run({ ...request, args: mapArgs(request), step: 'convert', onOutput });
}

/**
 * Returns the bytes that a converted, uncompressed image will take.
 * NOTE: qemu-img measures only qcow2 and raw. The other formats have the same data in blocks of
 * their own. Their tables are less than a thousandth, which is added to the size of qcow2.
 */
export async function measure(
  request: { source: SourceImage; targetFormat: TargetFormat } & CallLimits,
): Promise<MeasureResult> {
  const { source, targetFormat } = request;
  const measured = targetFormat === 'raw' ? 'raw' : 'qcow2';
  const args = measureArgs(source, measured);
  const { stdout } = await run({ ...request, args, path: source.path, step: 'space' });
  const { required, fullyAllocated } = parseMeasure(stdout);
  const slack = measured === targetFormat ? 0 : 16 * 1024 ** 2 + Math.ceil(fullyAllocated / 1000);
  return { required: required + slack, fullyAllocated: fullyAllocated + slack };
}

/** Returns the version, such as `7.2.22`. */
export async function version(limits: CallLimits = {}): Promise<string> {
  const call = { ...limits, args: ['--version'], path: 'this host', step: 'inspect' as const };
  return parseVersion((await run(call)).stdout);
}

/** NOTE: qemu-img creates files with every permission that the umask leaves, and keeps an existing one's. */
async function makeTarget(path: string): Promise<void> {
  await makePrivateFile(path).catch((error: unknown) => {
    throw writeFailureOf(path, error);
  });
}

async function run(call: Call): Promise<{ exitCode: number; stdout: string }> {
  const { args, signal, onOutput, timeoutMs = LAST_DEADLINE_MS } = call;
  const outcome = await runProgram({ argv: commandLine(args, call), signal, onOutput, timeoutMs });
  const { exitCode, stdout } = outcome;
  if (exitCode !== undefined && [0, ...(call.answers ?? [])].includes(exitCode))
    return { exitCode, stdout };
  const command = args[0] ?? '';
  throw qemuImgFailure({ command, path: call.path, step: call.step, timeoutMs }, outcome);
}
