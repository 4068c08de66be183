// Runs a contender as a process, and measures it.
import { spawn } from 'node:child_process';
import { createInterface } from 'node:readline';
import { watch } from './process-tree.js';

/** Runs a program to its end; resolves to its output, and rejects with its error output if it fails. */
export async function command(program, ...args) {
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'pipe'] });
  const [out, err] = await Promise.all([
    collect(child.stdout),
    collect(child.stderr),
    ended(child),
  ]);
  if (child.exitCode !== 0) throw new Error(`${program} ${args.join(' ')}: ${err || out}`);
  return out;
}

/**
 * Runs `argv` and resolves to its measurements. JSON lines of type `step` on its standard output become
 * `steps` (ms) and `details`; the last object is kept.
 */
export async function measure(argv, { env = {}, scratch, others }) {
  const started = performance.now();
  const [program, ...args] = argv;
  const child = spawn(program, args, {
    env: { ...process.env, ...env },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  const exit = ended(child);
  const stop = watch(child.pid, { scratch, others });
  const steps = {};
  const details = {};
  let last;
  const errors = collect(child.stderr);
  for await (const line of createInterface({ input: child.stdout })) {
    const event = asJson(line);
    if (event?.type === 'step' && event.state === 'done') {
      steps[event.step] = (steps[event.step] ?? 0) + event.ms;
      if (event.detail) details[event.step] = event.detail;
    }
    last = event ?? last;
  }
  await exit;
  const ms = performance.now() - started;
  const usage = stop();
  if (child.exitCode !== 0)
    throw new Error(`${argv.join(' ')} ended with ${child.exitCode}: ${await errors}`);
  return { ms, steps, details, last, ...usage };
}

/** Makes a shell line for contenders that are two programs; their arguments are in `env`. */
export function both(first, second) {
  return ['sh', '-ec', `${first}\n${second}`];
}

function asJson(line) {
  try {
    const value = JSON.parse(line);
    return typeof value === 'object' && value !== null ? value : undefined;
  } catch {
    return undefined;
  }
}

async function collect(stream) {
  const pieces = [];
  for await (const piece of stream) pieces.push(piece);
  return Buffer.concat(pieces).toString();
}

function ended(child) {
  return new Promise((resolve, reject) => {
    child.once('error', reject);
    child.once('close', resolve);
  });
}
