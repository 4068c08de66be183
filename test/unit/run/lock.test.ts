// The lock of a domain: one holder, who is named, and none that is dead.
import { execFile } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { promisify } from 'node:util';
import { expect, test } from 'vitest';
import { lockDomain } from '#built/run/lock.js';

const domain = { name: 'web01', uuid: randomUUID() };

test('the second is told who holds it, and gets it when the first lets go', async () => {
  const first = await lockDomain(domain, 'run-1');
  await expect(lockDomain(domain, 'run-2')).rejects.toMatchObject({
    code: 'DOMAIN_BUSY',
    message: expect.stringMatching(new RegExp(`run-1 \\(process ${process.pid}`)),
  });
  await first.release();
  await (await lockDomain(domain, 'run-2')).release();
});

test('other domains are free', async () => {
  const first = await lockDomain(domain, 'run-1');
  const other = await lockDomain({ name: 'web02', uuid: randomUUID() }, 'run-2');
  await Promise.all([first.release(), other.release()]);
});

test('a holder that is killed does not keep it', async () => {
  const module = new URL('../../../build/run/lock.js', import.meta.url).href;
  const script = `const { lockDomain } = await import(${JSON.stringify(module)});
    await lockDomain(${JSON.stringify(domain)}, 'run-3'); process.kill(process.pid, 'SIGKILL');`;
  const dead = promisify(execFile)(process.execPath, ['--input-type=module', '-e', script]);
  await expect(dead).rejects.toMatchObject({ signal: 'SIGKILL' });
  await (await lockDomain(domain, 'run-4')).release();
});
