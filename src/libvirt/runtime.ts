// Identifies one run of a domain: a QEMU process, from its start to its end.

/** Two are equal exactly if they are the same QEMU process; unknown facts are null. */
export interface Runtime {
  /** libvirt's id of the running domain; a restarted daemon may reuse it. */
  id: number | null;
  pid: number | null;
  /** Start of the process, in clock ticks since the host's boot. */
  startTime: string | null;
}

/** True if both are proved to be one QEMU process, false if two; undefined if neither is proved. */
export function isSameRuntime(a: Runtime, b: Runtime): boolean | undefined {
  if (a.startTime !== null && b.startTime !== null) {
    return a.pid === b.pid && a.startTime === b.startTime;
  }
  return a.id === null || b.id === null ? undefined : a.id === b.id;
}
