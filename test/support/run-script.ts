// Runs a script in a Node of its own: what ends a whole process cannot be tried in the tests' own.
import { spawn } from 'node:child_process';

export interface EndedScript {
  code: number | null;
  stdout: string;
  stderr: string;
}

/** It has 20 s to end; it is an ES module. */
export function runScript(script: string): Promise<EndedScript> {
  const child = spawn(process.execPath, ['--input-type=module', '--eval', script], {
    stdio: ['ignore', 'pipe', 'pipe'],
    timeout: 20_000,
    killSignal: 'SIGKILL',
  });
  let stdout = '';
  let stderr = '';
  child.stdout.setEncoding('utf8').on('data', (text: string) => {
    stdout += text;
  });
  child.stderr.setEncoding('utf8').on('data', (text: string) => {
    stderr += text;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => resolve({ code, stdout, stderr }));
  });
}
