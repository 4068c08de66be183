// Reads from live XML the user that QEMU runs as, and whether libvirt gives it its files.
import { expect, test } from 'vitest';
import { parseDacLabel } from '#built/libvirt/xml/dac-label.js';

function domain(seclabel: string, disk = ''): string {
  const source = `<source file='/d.qcow2'>${disk}</source>`;
  return `<domain type='kvm'><devices><disk type='file'>${source}</disk></devices>${seclabel}</domain>`;
}

const DYNAMIC = `<seclabel type='dynamic' model='dac' relabel='yes'><label>+64055:+108</label><imagelabel>+64055:+108</imagelabel></seclabel>`;

test('`parseDacLabel` reads numeric ids, and ignores names', () => {
  expect(parseDacLabel(domain(DYNAMIC))).toEqual({
    ...{ label: { uid: 64055, gid: 108, groups: [] }, relabels: true },
  });
  const named = "<seclabel type='static' model='dac'><label>qemu:qemu</label></seclabel>";
  expect(parseDacLabel(domain(named)).label).toBeUndefined();
  expect(parseDacLabel(domain('')).label).toBeUndefined();
});

test.each([
  ['no label at all', '', '', true],
  ['another security driver', "<seclabel type='none' model='selinux'/>", '', true],
  ['none', "<seclabel type='none' model='dac'/>", '', false],
  ['none, for every driver', "<seclabel type='none'/>", '', false],
  ['static', "<seclabel type='static' model='dac' relabel='no'/>", '', false],
  ['a disk of its own', DYNAMIC, "<seclabel model='dac' relabel='no'/>", false],
  ['a disk, for another driver', DYNAMIC, "<seclabel model='selinux' relabel='no'/>", true],
])('`parseDacLabel` reads whether libvirt gives files to QEMU: %s', (_, own, disk, relabels) => {
  expect(parseDacLabel(domain(own, disk)).relabels).toBe(relabels);
});
