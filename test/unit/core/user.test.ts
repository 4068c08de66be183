// The user of the process, also one that the user database does not know, as in a container.
import { spawnSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir, userInfo } from 'node:os';
import { join } from 'node:path';
import { afterAll, expect, it } from 'vitest';
import { currentUser } from '#built/core/user.js';

/** No entry of /etc/passwd has it. */
const NAMELESS = 54_321;
const root = new URL('../../../', import.meta.url).pathname;
const folder = mkdtempSync(join(tmpdir(), 'user-'));
afterAll(() => rmSync(folder, { recursive: true }));

/** Runs a module as that user; the tests run as root. */
function asNameless(script: string, env: NodeJS.ProcessEnv) {
  const args = [`--reuid=${NAMELESS}`, `--regid=${NAMELESS}`, '--clear-groups', process.execPath];
  return spawnSync('setpriv', [...args, '--input-type=module', '-e', script], {
    encoding: 'utf8',
    env: { PATH: process.env.PATH, ...env },
  });
}

it('is the effective user, with its home', () => {
  const { uid, gid, homedir } = userInfo();
  expect(currentUser()).toEqual({ uid, gid, home: homedir });
});

it('without an entry in the user database has its ids, and $HOME or / as its home', () => {
  const script = `import { userInfo } from 'node:os';
    import { currentUser } from '${root}build/core/user.js';
    let known = true;
    try { userInfo(); } catch { known = false; }
    console.log(JSON.stringify({ known, ...currentUser() }));`;
  const ids = { known: false, uid: NAMELESS, gid: NAMELESS };
  const withHome = asNameless(script, { HOME: folder });
  expect(JSON.parse(withHome.stdout || `"${withHome.stderr}"`)).toEqual({ ...ids, home: folder });
  expect(JSON.parse(asNameless(script, {}).stdout)).toEqual({ ...ids, home: '/' });
});

it('without an entry in the user database can use the command, its locks and a registry', () => {
  chmodSync(folder, 0o777);
  const state = join(folder, 'state');
  const env = { HOME: folder, VIRT_PUBLISH_STATE_DIR: state };
  const locks = `import { lockFolder } from '${root}build/host/files/lock-folder.js';
    import { statusPath } from '${root}build/libvirt/status-xml.js';
    console.log(lockFolder(), statusPath('qemu:///session', 'web'));`;
  const status = `/run/user/${NAMELESS}/libvirt/qemu/run/web.xml`;
  const ran = asNameless(locks, env);
  expect(ran.stdout, ran.stderr).toBe(`${folder}/.local/state/virt-publish/locks ${status}\n`);
  const config = asNameless(
    `process.argv.push('virt-publish', 'status'); await import('${root}dist/cli/main.js');`,
    env,
  );
  expect(config.stderr).toBe('');
});
