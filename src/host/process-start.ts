// When a process started, which distinguishes it from a later process with the same pid.
import { readFile } from 'node:fs/promises';

/**
 * Returns the 22nd field of `/proc/PID/stat`, clock ticks since the host's boot. Null if there is no
 * such process, if it is a zombie, or if `/proc` hides it from this user.
 */
export async function processStartTime(pid: number | 'self'): Promise<string | null> {
  const stat = await readFile(`/proc/${pid}/stat`, 'utf8').catch(() => null);
  if (stat === null) return null;
  // The second field is the program's name in parentheses, which may contain any character.
  const fields = stat.slice(stat.lastIndexOf(')') + 2).split(' ');
  return fields[0] === 'Z' ? null : (fields[19] ?? null);
}
