// For the fault tests alone: VIRT_PUBLISH_TEST_AT ends or stops this process at a point of its journal.
import { type NewEntry, observeJournals } from '../run/journal/journal.ts';

/**
 * `intent:undefine=SIGKILL`, `done:mirror=SIGSTOP`, `point:image=SIGKILL,guard` (the guard dies
 * first). Several stand side by side with `;` between them.
 */
const HOOK = /^(\w+:[\w ]+)=(SIG[A-Z]+)(,guard)?$/;

/**
 * `list` writes the name of each point to standard error instead.
 * @throws if the text is not a hook: a test that injects nothing must not pass
 */
export function installTestHook(text: string): void {
  if (text === 'list') {
    observeJournals((entry) => process.stderr.write(`test hook: ${nameOf(entry)}\n`));
    return;
  }
  for (const hook of text.split(';')) installHook(hook);
}

function installHook(text: string): void {
  const [, at, signal, guardToo] = HOOK.exec(text) ?? [];
  if (at === undefined || signal === undefined) throw new Error(`${text} is no test hook`);
  let guardPid = 0;
  let isOver = false;
  observeJournals((entry) => {
    if (nameOf(entry) === 'point:guard' && 'data' in entry)
      guardPid = (entry.data as { pid: number }).pid;
    if (nameOf(entry) !== at || isOver) return;
    isOver = true;
    if (guardToo !== undefined) killGuard(guardPid);
    process.kill(process.pid, signal as NodeJS.Signals);
  });
}

function nameOf(entry: NewEntry): string {
  if (entry.type === 'run') return 'run:started';
  return `${entry.type}:${entry.type === 'point' ? entry.name : entry.act}`;
}

/** If the guest is restored, the guard has ended already. */
function killGuard(pid: number): void {
  try {
    if (pid > 0) process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (!(error instanceof Error && 'code' in error && error.code === 'ESRCH')) throw error;
  }
}
