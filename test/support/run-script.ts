// Runs a script in a Node of its own: what ends a whole process cannot be tried in the tests' own.
import { type Ran, run } from './exec.ts';

/** It has 20 s to end; it is an ES module. */
export function runScript(script: string): Promise<Ran> {
  const args = ['--input-type=module', '--eval', script];
  return run(process.execPath, args, { timeoutMs: 20_000 });
}
