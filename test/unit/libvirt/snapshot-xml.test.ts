// `parseSnapshotXml`: the disks, the files, and the domain of a snapshot.
import { expect, test } from 'vitest';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';
import { parseSnapshotXml } from '#built/libvirt/xml/snapshot-xml.js';

const DISK = (file: string) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='${file}'/><target dev='vda' bus='virtio'/></disk>`;

const XML = `<domainsnapshot><name>a &amp; b</name><description>mine</description><state>disk-snapshot</state>
<creationTime>1795000000</creationTime><memory snapshot='no'/>
<disks><disk name='vda' snapshot='external' type='file'><driver type='qcow2'/><source file='/i/new'/></disk>
<disk name='vdb' snapshot='no'/></disks>
<domain type='kvm'><name>web</name><uuid>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</uuid>
<metadata><constructor>&lt;</constructor></metadata><os><type arch='x86_64'>hvm</type></os>
<devices>${DISK('/i/old')}</devices></domain>
<inactiveDomain><name>web</name><devices>${DISK('/i/none')}</devices></inactiveDomain></domainsnapshot>`;

test('`parseSnapshotXml` reads overlays, internal snapshots and disks that are not covered', () => {
  const { domainXml, ...snapshot } = parseSnapshotXml(XML);
  expect(snapshot).toEqual({
    ...{
      name: 'a & b',
      description: 'mine',
      state: 'disk-snapshot',
      createdAt: 1_795_000_000,
      memory: 'no',
    },
    disks: [
      { name: 'vda', kind: 'external', source: '/i/new' },
      { name: 'vdb', kind: 'no', source: null },
    ],
  });
  expect(parseDomainXml(domainXml ?? '')).toMatchObject({
    name: 'web',
    disks: [{ target: 'vda', source: '/i/old' }],
  });
});

test('`parseSnapshotXml` reads minimal XML, and rejects other XML', () => {
  const least = parseSnapshotXml('<domainsnapshot><name>s</name></domainsnapshot>');
  const empty = { description: null, state: null, createdAt: null, memory: 'no', disks: [] };
  expect(least).toEqual({ name: 's', domainXml: null, ...empty });
  expect(() => parseSnapshotXml('<domain/>')).toThrow(/<domainsnapshot> expected/);
});
