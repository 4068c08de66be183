// A program other than Node that holds the kernel's lock on a file.
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';

/** Takes a write lock on the whole file (F_OFD_SETLK), and holds it until the program is killed. */
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

/** Takes the lock of a file and writes `content` to it. `before`: a program, with arguments, that starts it. */
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
