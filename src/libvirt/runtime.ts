// Which run of a domain this is: a QEMU process, from its start to its end.
import { readFileSync } from 'node:fs';

/** Two of them are equal exactly if it is one QEMU process; what cannot be known is null. */
export interface Runtime {
  /** libvirt's number of the running domain; a daemon that was restarted may give it again. */
  id: number | null;
  pid: number | null;
  /** Of the process, in clock ticks since the host's boot. */
  startTime: string | null;
}

/** Whether both are proved to be one QEMU process, or two; undefined if neither is proved. */
export function isSameRuntime(a: Runtime, b: Runtime): boolean | undefined {
  if (a.startTime !== null && b.startTime !== null) {
    return a.pid === b.pid && a.startTime === b.startTime;
  }
  return a.id === null || b.id === null ? undefined : a.id === b.id;
}

/** The 22nd field of `/proc/PID/stat`; null if there is no such process. */
export function processStartTime(pid: number): string | null {
  try {
    const stat = readFileSync(`/proc/${pid}/stat`, 'utf8');
    // The second field is the name in brackets, which may hold anything.
    return stat.slice(stat.lastIndexOf(')') + 2).split(' ')[19] ?? null;
  } catch {
    // It has ended, or the process list is not shown to this user.
    return null;
  }
}
