// Ends the programs that a dead run started and that still run.
import { readdir, readFile } from 'node:fs/promises';
import { basename } from 'node:path';

/** The programs that a run starts on its own files. virt-sysprep's QEMU ends with virt-sysprep. */
const PROGRAMS: readonly string[] = ['qemu-img', 'virt-sysprep'];

/**
 * Kills every such program that works on a file below `scratch`, the folder of one run.
 *
 * NOTE: a qemu-img among them holds QEMU's lock on the disk of a guest in a managed save, which cannot
 * start until that program has ended.
 */
export async function endLeftovers(scratch: string): Promise<void> {
  const pids = (await readdir('/proc')).filter((name) => /^\d+$/.test(name));
  for (const pid of pids) {
    const args = await argumentsOf(pid);
    const isOfRun = args.slice(1).some((argument) => argument.includes(`${scratch}/`));
    if (isProgram(args) && isOfRun) kill(Number(pid));
  }
}

/** A script has its interpreter as first argument. */
function isProgram(args: readonly string[]): boolean {
  return args.slice(0, 2).some((argument) => PROGRAMS.includes(basename(argument)));
}

const NO_CHILD: readonly unknown[] = ['ESRCH', 'EPERM'];

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
    // A process of another user is no child of a run, and must not prevent the restore of a guest.
    const isNoChild = error instanceof Error && 'code' in error && NO_CHILD.includes(error.code);
    if (!isNoChild) throw error;
  }
}
