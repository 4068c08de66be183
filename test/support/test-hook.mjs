// Loaded by `node --import`: VIRT_PUBLISH_TEST_AT ends or stops this process at an entry of its journal.
import { isMainThread } from 'node:worker_threads';
import { Journal } from '../../build/run/journal/journal.js';

/**
 * `intent:undefine=SIGKILL`, `done:mirror=SIGSTOP`, `point:image=SIGKILL,guard` (kills the guard
 * first). `;` separates several. `list` writes the name of each entry to standard error instead.
 */
const HOOK = /^(\w+:[\w ]+)=(SIG[A-Z]+)(,guard)?$/;

const observers = [];

/** Calls the observers when an entry is on disk and reported to the guard, before the run continues. */
const write = Journal.prototype.write;
Journal.prototype.write = async function observedWrite(entry, ...options) {
  await write.call(this, entry, ...options);
  for (const observe of observers) observe(entry);
};

const text = process.env.VIRT_PUBLISH_TEST_AT ?? '';
if (!isMainThread) {
  // A thread of the run: only its main thread writes the journal.
} else if (text === 'list') {
  observers.push((entry) => process.stderr.write(`test hook: ${nameOf(entry)}\n`));
} else for (const hook of text.split(';')) installHook(hook);

/** @throws Error if the text is no hook: a test that injects nothing must not pass. */
function installHook(hook) {
  const [, at, signal, guardToo] = HOOK.exec(hook) ?? [];
  if (at === undefined || signal === undefined) throw new Error(`${hook} is no test hook`);
  let guardPid = 0;
  let isOver = false;
  observers.push((entry) => {
    if (nameOf(entry) === 'point:guard') guardPid = entry.data.pid;
    if (nameOf(entry) !== at || isOver) return;
    isOver = true;
    if (guardToo !== undefined) killGuard(guardPid);
    process.kill(process.pid, signal);
  });
}

function nameOf(entry) {
  if (entry.type === 'run') return 'run:started';
  return `${entry.type}:${entry.type === 'point' ? entry.name : entry.act}`;
}

/** The guard has ended already if nothing is pending. */
function killGuard(pid) {
  try {
    if (pid > 0) process.kill(pid, 'SIGKILL');
  } catch (error) {
    if (error.code !== 'ESRCH') throw error;
  }
}
