// A program that is no Node and holds a lock file as the kernel has it.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** F_OFD_SETLK of a write lock on the whole file; it is held until the program is killed. */
const HOLDER = `
import fcntl, os, struct, sys, time
fd = os.open(sys.argv[1], os.O_RDWR | os.O_CREAT, 0o600)
try:
    fcntl.fcntl(fd, 37, struct.pack('hhqqi4x', fcntl.F_WRLCK, 0, 0, 0, 0))
except BlockingIOError:
    sys.exit('not held')
os.write(fd, sys.argv[2].encode())
print('held', flush=True)
time.sleep(600)
`;

/** Takes the lock of a file and writes `content` to it. `before`: a program that starts it, with arguments. */
export async function holdLock(
  path: string,
  content: string,
  ...before: string[]
): Promise<ChildProcess> {
  const [program = '', ...args] = [...before, 'python3', '-c', HOLDER, path, content];
  const child = spawn(program, args, { stdio: ['ignore', 'pipe', 'ignore'] });
  const isHeld = await Promise.race([
    once(child.stdout, 'data').then(() => true),
    once(child, 'exit').then(() => false),
  ]);
  if (!isHeld) throw new Error(`${path} is not held`);
  return child;
}

export async function endHolder(child: ChildProcess): Promise<void> {
  const gone = once(child, 'exit');
  child.kill('SIGKILL');
  await gone;
}
