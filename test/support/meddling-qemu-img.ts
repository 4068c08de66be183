// A qemu-img that runs another command before the real one, so that a test can act at a known moment.
import { chmod, rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { must } from './exec.ts';
import { makeFolder } from './folders.ts';

/** Returns an environment in which `meddle`, a line of shell, runs once before the first `qemu-img COMMAND`. */
export async function meddleAt(command: string, meddle: string): Promise<Record<string, string>> {
  const folder = await makeFolder('vp-test-bin');
  const real = (await must('sh', ['-c', 'command -v qemu-img'])).trim();
  const done = join(folder, 'done');
  const script = `#!/bin/sh
if [ "$1" = ${command} ] && mkdir ${done} 2>/dev/null; then
  ${meddle}
fi
exec ${real} "$@"
`;
  await writeFile(join(folder, 'qemu-img'), script);
  await chmod(join(folder, 'qemu-img'), 0o755);
  await rm(done, { recursive: true, force: true });
  return { PATH: `${folder}:${process.env.PATH}` };
}
