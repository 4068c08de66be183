// Ends what a dead run's own children still do: nobody waits for a program whose parent is gone.
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** The programs that a run starts on its own files. virt-sysprep's QEMU ends with it. */
const PROGRAMS: readonly string[] = ['qemu-img', 'virt-sysprep'];

/**
 * Kills every program of a run that works on a file below `scratch`, a folder that belongs to one run.
 *
 * NOTE: a qemu-img among them holds QEMU's lock on the disk of a guest that waits in a managed save, which
 * cannot be started before it is gone.
 */
export async function endLeftovers(scratch: string): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const args = await argumentsOf(pid);
    const isOurs = args.slice(1).some((argument) => argument.includes(`${scratch}/`));
    if (isProgram(args) && isOurs) kill(Number(pid));
  }
}

/** Also one that is a script: its interpreter comes first then. */
function isProgram(args: readonly string[]): boolean {
  return args.slice(0, 2).some((argument) => PROGRAMS.includes(basename(argument)));
}

const NOT_OURS: readonly unknown[] = ['ESRCH', 'EPERM'];

async function argumentsOf(pid: string): Promise<string[]> {
  try {
    return (await readFile(`/proc/${pid}/cmdline`, 'utf8')).split('\0');
  } catch {
    // It has ended since the folder was read.
    return [];
  }
}

function kill(pid: number): void {
  try {
    process.kill(pid, 'SIGKILL');
  } catch (error) {
    // One of another user is no child of ours, and must not keep a guest from being put back.
    const isNotOurs = error instanceof Error && 'code' in error && NOT_OURS.includes(error.code);
    if (!isNotOurs) throw error;
  }
}
