// The commands that mend what an undo could not, as a shell reads them.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '#dist/libvirt/host.js';
import { detach, type GuestContext } from '#dist/run/guest-acts.js';

test('a device is attached again by a command that can be pasted, whatever its XML has', () => {
  const bin = mkdtempSync(join(tmpdir(), 'vp-unit-'));
  writeFileSync(join(bin, 'virsh'), '#!/bin/sh\necho "$@"\nexec cat /dev/stdin\n');
  chmodSync(join(bin, 'virsh'), 0o755);
  const host = new Host('qemu:///system', { workMs: 1, controlMs: 1 });
  const context: GuestContext = { host, name: "it's", uuid: 'u' };
  const xml = `<hostdev mode='subsystem'>\n  <alias name="a$b"/>\n</hostdev>`;
  const command = detach.mend(context, { xml, address: '0000:01:00.0' });
  expect(command).not.toContain('\n');
  const env = { PATH: `${bin}:${process.env.PATH}` };
  expect(execFileSync('sh', ['-c', command], { env, encoding: 'utf8' })).toBe(
    `-c qemu:///system attach-device it's /dev/stdin --live\n<hostdev mode='subsystem'><alias name="a$b"/></hostdev>`,
  );
  rmSync(bin, { recursive: true });
});
