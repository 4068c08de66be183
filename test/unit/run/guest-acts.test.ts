// The commands that mend what an undo could not, as a shell reads them.
import { execFileSync } from 'node:child_process';
import { chmodSync, mkdtempSync, rmSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, test } from 'vitest';
import { Host } from '#dist/libvirt/host.js';
import { detach, freeze, type GuestContext, mirror, save, undefine } from '#dist/run/guest-acts.js';

const UUID = '6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10';

test('a device is attached again by a command that can be pasted, whatever its XML has', () => {
  const bin = mkdtempSync(join(tmpdir(), 'vp-unit-'));
  writeFileSync(join(bin, 'virsh'), '#!/bin/sh\necho "$@"\nexec cat /dev/stdin\n');
  chmodSync(join(bin, 'virsh'), 0o755);
  const host = new Host('qemu:///system', { workMs: 1, controlMs: 1 });
  const context: GuestContext = { host, name: "it's", uuid: UUID };
  const xml = `<hostdev mode='subsystem'>\n  <alias name="a$b"/>\n</hostdev>`;
  const command = detach.mend(context, { xml, address: '0000:01:00.0' });
  expect(command).not.toContain('\n');
  const env = { PATH: `${bin}:${process.env.PATH}` };
  expect(execFileSync('sh', ['-c', command], { env, encoding: 'utf8' })).toBe(
    `-c qemu:///system attach-device 6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10 /dev/stdin --live\n<hostdev mode='subsystem'><alias name="a$b"/></hostdev>`,
  );
  rmSync(bin, { recursive: true });
});

test.each([
  ['a plain name', 'web-01.example_a', 'web-01.example_a'],
  ['an option', '-x', UUID],
  ['the id of another domain', '7', UUID],
  ['the UUID of another domain', 'a1b0f4c0-52a5-4b6c-8ef4-0d6b3b6d7b11', UUID],
  ['a name with a space', 'a b', UUID],
  ['a name with letters beyond ASCII', 'büro', UUID],
  ['a command', '$(reboot)', UUID],
])('a domain whose name is %s is named so that virsh finds it and no other', (_, name, ref) => {
  const host = new Host('qemu+unix:///system?socket=/run/a&b', { workMs: 1, controlMs: 1 });
  const context: GuestContext = { host, name, uuid: UUID };
  const virsh = "virsh -c 'qemu+unix:///system?socket=/run/a&b'";
  expect(freeze.mend(context, null)).toBe(`${virsh} domfsthaw ${ref}`);
  expect(save.mend(context, { state: 'running' })).toBe(`${virsh} start ${ref}`);
  expect(mirror.mend(context, { target: 'vda', delta: '/d' })).toBe(
    `${virsh} blockjob ${ref} vda --abort`,
  );
  const data = { xmlPath: "/it's", autostart: true, metadataPath: null };
  expect(undefine.mend(context, data)).toBe(
    `${virsh} define '/it'\\''s' && ${virsh} autostart ${ref}`,
  );
});
