// The libvirt URIs that are accepted, and the errors for others.
import { expect, test } from 'vitest';
import { requireLocalQemu } from '#built/libvirt/uri.js';

test.each([
  'qemu:///system',
  'qemu:///session',
  'qemu+unix:///system',
  'qemu+unix:///system?socket=/run/my/libvirt-sock',
  'qemu:///system?mode=legacy',
])('`requireLocalQemu` accepts %s', (uri) => {
  expect(() => requireLocalQemu(uri)).not.toThrow();
});

test.each([
  ['qemu+ssh://root@kvm7.example/system', /kvm7\.example.*host/],
  ['qemu+ssh://root:hunter2@kvm7.example/system', /host/],
  ['qemu+tcp://[::1]:16509/system', /host/],
  ['qemu+tls:///system', /another host.*host/],
  ['qemu+ext:///system?command=/bin/hunter2', /host/],
  ['qemu://localhost/system', /localhost.*host/],
  ['test:///default', /"test" is not supported/],
  ['xen:///system', /"xen" is not supported/],
  ['qemu:///embed?root=/x', /"\/embed"/],
  ['qemu:///', /names "\/"/],
  ['hunter2', /not a libvirt URI/],
  ['', /not a libvirt URI/],
])('`requireLocalQemu` rejects %s', (uri, message) => {
  let refusal: unknown;
  try {
    requireLocalQemu(uri);
  } catch (error) {
    refusal = error;
  }
  expect(refusal).toMatchObject({
    code: 'CONFIG',
    message: expect.stringMatching(message),
    hint: expect.stringMatching(/^use qemu:\/\/\/system|^run virt-publish on that host$/),
  });
  expect(String(refusal)).not.toContain('hunter2');
});
