// Which libvirt URIs are taken, and what the refusals say.
import { expect, test } from 'vitest';
import { requireLocalQemu } from '#built/libvirt/uri.js';

test.each([
  'qemu:///system',
  'qemu:///session',
  'qemu+unix:///system',
  'qemu+unix:///system?socket=/run/my/libvirt-sock',
  'qemu:///system?mode=legacy',
])('%s is taken', (uri) => {
  expect(() => requireLocalQemu(uri)).not.toThrow();
});

test.each([
  ['qemu+ssh://root@kvm7.example/system', /kvm7\.example.*run virt-publish on that host/],
  ['qemu+ssh://root:hunter2@kvm7.example/system', /run virt-publish on that host/],
  ['qemu+tcp://[::1]:16509/system', /run virt-publish on that host/],
  ['qemu+tls:///system', /another host.*run virt-publish on that host/],
  ['qemu+ext:///system?command=/bin/hunter2', /run virt-publish on that host/],
  ['qemu://localhost/system', /localhost.*run virt-publish on that host/],
  ['test:///default', /"test" is not supported; use qemu:\/\/\/system/],
  ['xen:///system', /"xen" is not supported/],
  ['qemu:///embed?root=/x', /"\/embed".*use qemu:\/\/\/system/],
  ['qemu:///', /use qemu:\/\/\/system/],
  ['hunter2', /not a libvirt URI/],
  ['', /not a libvirt URI/],
])('%s is refused', (uri, message) => {
  let refusal: unknown;
  try {
    requireLocalQemu(uri);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({ code: 'CONFIG', message: expect.stringMatching(message) });
  expect(String(refusal)).not.toContain('hunter2');
});
