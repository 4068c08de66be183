// The choice of disks, mode and method, from the inspection of a domain and the request.

import { describe, expect, test } from 'vitest';
import { type CaptureRequest, planCapture } from '#built/capture/plan.js';
import { outsideFacts } from '#built/domain/chain/backing-chain.js';
import { chooseDisks, type DiskSelection } from '#built/domain/choose-disk.js';
import type { Inspection } from '#built/domain/inspect.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

const disk = (target: string, more = '', source = `<source file='/d/${target}'/>`) =>
  `<disk type='file' device='disk'><driver name='qemu' type='qcow2'/>${source}<target dev='${target}' bus='virtio'/>${more}</disk>`;

const sliced = (file: string) =>
  `<source file='${file}'><slices><slice type='storage' offset='512' size='1024'/></slices></source>`;

/** What lies below a disk or another layer. */
const layer = (below: string, source: string) =>
  `<backingStore type='file'><format type='qcow2'/>${source}${below}</backingStore>`;

function describeDomain(devices: string) {
  return parseDomainXml(
    `<domain type='kvm'><name>web01</name><uuid>6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10</uuid><memory unit='MiB'>512</memory><vcpu>1</vcpu><os><type arch='x86_64' machine='pc-q35-7.2'>hvm</type></os><devices>${devices}</devices></domain>`,
  );
}

function inspection(changes = {}, devices = disk('vda')) {
  const description = describeDomain(devices);
  return {
    name: 'web01',
    uuid: description.uuid,
    state: 'running' as const,
    active: true,
    persistent: true,
    autostart: false,
    inactiveXml: '',
    description,
    disks: [
      {
        disk: chooseDisks(description, 'root')[0],
        facts: { ...outsideFacts(1), outside: false },
      },
    ] as Inspection['disks'],
    snapshots: 0,
    checkpoints: 0,
    hasManagedSave: false,
    missing: [],
    libvirtVersion: 9_000_000,
    agent: 'answers' as const,
    isWindows: false,
    ...changes,
  };
}

function chosen(devices: string, selection: DiskSelection): string[] {
  return chooseDisks(describeDomain(devices), selection).map(({ target }) => target);
}

const defaults = { mode: 'auto', method: 'auto', quiesce: 'try' } as const;

describe('the root disk', () => {
  test('is the first in boot order', () => {
    const devices = disk('vda', "<boot order='2'/>") + disk('vdb', "<boot order='1'/>");
    expect(chosen(devices, 'root')).toEqual(['vdb']);
  });

  test('is the first disk other than a CD-ROM if there is no boot order', () => {
    const cdrom = `<disk type='file' device='cdrom'><source file='/cd'/><target dev='sda' bus='sata'/><boot order='1'/></disk>`;
    expect(chosen(cdrom + disk('vda'), 'root')).toEqual(['vda']);
  });

  test.each([
    [
      'a CD-ROM',
      `<disk type='file' device='cdrom'><source file='/cd'/><target dev='sda' bus='sata'/><readonly/></disk>`,
      'cdrom',
    ],
    [
      'a vhost-user disk',
      `<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/><source type='unix' path='/s'/><target dev='sda' bus='virtio'/></disk>`,
      'by vhost-user, without QEMU',
    ],
    [
      'a directory',
      `<disk type='dir' device='disk'><driver name='qemu' type='fat'/><source dir='/d'/><target dev='sda' bus='virtio'/></disk>`,
      'is a directory',
    ],
    [
      'an encrypted network disk',
      `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='p/i'><encryption format='luks'/></source><target dev='sda' bus='scsi'/></disk>`,
      'encrypted',
    ],
    [
      'a volume that is not looked up',
      `<disk type='volume' device='disk'><driver name='qemu' type='raw'/><source pool='p' volume='v'/><target dev='sda' bus='scsi'/></disk>`,
      'volume v of pool p',
    ],
    [
      'an encrypted disk',
      disk(
        'sda',
        "<encryption format='luks'><secret type='passphrase' uuid='6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b11'/></encryption>",
      ),
      'encrypted',
    ],
    ['a slice of a file', disk('sda', '', sliced('/d/sda')), 'is a slice (offset 512, size 1024)'],
    [
      'a disk on a slice of a file',
      disk('sda', layer(layer('<backingStore/>', sliced('/d/b')), "<source file='/d/a'/>")),
      'has a layer (/d/b) that is a slice',
    ],
    [
      'a disk on an encrypted layer',
      disk('sda', layer('', "<source file='/d/a'><encryption format='luks'/></source>")),
      'has a layer (/d/a) that is encrypted',
    ],
    [
      'a disk with its data in another file',
      disk('sda', '', "<source file='/d/sda'><dataStore type='file'/></source>"),
      'keeps its data in another file',
    ],
    [
      'a disk of descriptors that libvirt was given',
      disk('sda', '', "<source file='/d/sda' fdgroup='g'/>"),
      'its path does not name its data',
    ],
    ['a transient disk', disk('sda', '<transient/>'), 'transient'],
    ['an empty drive', disk('sda', '', ''), 'no source'],
  ])('%s is rejected with the reason', (_, devices, reason) => {
    expect(() => chosen(devices, ['sda'])).toThrow(
      expect.objectContaining({
        code: 'DISK_UNSUPPORTED',
        message: expect.stringContaining(reason),
      }),
    );
  });

  test('the error for a missing target lists the existing ones', () => {
    expect(() => chosen(disk('vda'), ['vda', 'vdz'])).toThrow(/no disk vdz; it has: vda/);
  });
});

describe('several disks', () => {
  const cdrom = `<disk type='file' device='cdrom'><target dev='sda' bus='sata'/><readonly/></disk>`;
  const served = `<disk type='vhostuser' device='disk'><driver name='qemu' type='raw'/><source type='unix' path='/s'/><target dev='vde' bus='virtio'/></disk>`;

  test('are all but removable ones, in boot order, then in the order of the domain', () => {
    const devices = `${disk('vda')}${disk('vdc', "<boot order='2'/>")}${cdrom}${disk('vdb')}${disk('vdd', "<boot order='1'/>")}`;
    expect(chosen(devices, 'all')).toEqual(['vdd', 'vdc', 'vda', 'vdb']);
    expect(chosen(devices, ['vdb', 'vdc', 'vdb'])).toEqual(['vdc', 'vdb']);
  });

  test('the error lists all obstacles, and its hint the disks that can be taken', () => {
    const devices =
      disk('vda') + disk('vdb', '<shareable/>') + disk('vdc', '<readonly/>') + served + disk('vdf');
    expect(() => chosen(devices, 'all')).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(
          /vdb .* is shareable.*vde .* without QEMU.*vdc .* is read-only/,
        ),
        hint: 'name the disks to take instead of --all-disks: --disk vda --disk vdf',
      }),
    );
    expect(() => chosen(devices, ['vda', 'vdb'])).toThrow(/vdb of domain web01 is shareable/);
    expect(chosen(devices, ['vda', 'vdc'])).toEqual(['vda', 'vdc']);
    expect(() => chosen(cdrom, 'all')).toThrow(/has no disk to take/);
  });
});

describe('the mode', () => {
  test.each<[string, object, Partial<CaptureRequest>, string]>([
    ['a running domain', {}, {}, 'live'],
    ['a paused domain', { state: 'paused' }, {}, 'live'],
    ['a domain that is off', { active: false, state: 'shutoff' }, {}, 'offline'],
    [
      'cold, of a domain that is off',
      { active: false, state: 'shutoff' },
      { mode: 'cold' },
      'offline',
    ],
    ['cold', {}, { mode: 'cold' }, 'cold'],
  ])('%s', (_, changes, requested, mode) => {
    expect(planCapture(inspection(changes), { ...defaults, ...requested }).mode).toBe(mode);
  });

  test('of a shareable disk is cold, with the reason', () => {
    const plan = planCapture(inspection({}, disk('vda', '<shareable/>')), defaults);
    expect(plan).toMatchObject({ mode: 'cold', modeReason: expect.stringContaining('shareable') });
  });

  test.each<[string, object, Partial<CaptureRequest>, string]>([
    [
      'live of a domain that is off',
      { active: false, state: 'shutoff' },
      { mode: 'live' },
      'USAGE',
    ],
    [
      'cold without a kernel',
      { missing: ['the kernel (/k)'] },
      { mode: 'cold' },
      'DISK_UNSUPPORTED',
    ],
    ['cold of a transient domain', { persistent: false }, { mode: 'cold' }, 'DISK_UNSUPPORTED'],
    ['quiesce required, no agent', { agent: 'none' }, { quiesce: 'require' }, 'QUIESCE'],
    [
      'quiesce required, paused',
      { agent: 'silent', state: 'paused' },
      { quiesce: 'require' },
      'QUIESCE',
    ],
  ])('%s is rejected', (_, changes, requested, code) => {
    expect(() => planCapture(inspection(changes), { ...defaults, ...requested })).toThrow(
      expect.objectContaining({ code }),
    );
  });
});

describe('a guest that might not start from a save', () => {
  test('is taken live unless cold is requested', () => {
    const seen = inspection({ missing: ['the kernel (/k)'] });
    expect(planCapture(seen, defaults).mode).toBe('live');
    expect(() => planCapture(seen, { ...defaults, mode: 'cold' })).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/lacks the kernel \(\/k\)$/),
        hint: 'restore what is missing, or use --mode live',
      }),
    );
  });

  const device = (bus: string) =>
    `<hostdev mode='subsystem' type='pci'><source><address bus='0x06' slot='0x12' function='0x5'/></source><address type='pci' bus='${bus}'/></hostdev>`;
  test.each([
    ['the root bus of a PCIe machine', 'pcie-root', '0x00', false],
    ['a port of a PCIe machine', 'pcie-root', '0x03', true],
    ['the root bus of a PCI machine', 'pci-root', '0x00', true],
  ])('has a device of the host on %s', (_, model, bus, isDetached) => {
    const controller = `<controller type='pci' index='0' model='${model}'/>`;
    const seen = inspection({}, disk('vda') + controller + device(bus));
    const plan = () => planCapture(seen, { ...defaults, mode: 'cold' });
    if (isDetached) expect(plan().detaches).toHaveLength(1);
    else expect(plan).toThrow(/0000:06:12.5, .* root bus/);
  });
});

describe('the method', () => {
  const tpm = "<tpm model='tpm-crb'><backend type='emulator' version='2.0'/></tpm>";
  const persistentTpm = tpm.replace("version='2.0'", "version='2.0' persistent_state='yes'");
  test.each([
    ['nothing to lose', inspection(), 'rebase'],
    ['snapshots', inspection({ snapshots: 1 }), 'copy'],
    ['checkpoints', inspection({ checkpoints: 1 }), 'copy'],
    ['a managed save image', inspection({ hasManagedSave: true }), 'copy'],
    ['a vTPM that is not persistent', inspection({}, disk('vda') + tpm), 'copy'],
    ['a persistent vTPM', inspection({}, disk('vda') + persistentTpm), 'rebase'],
    [
      'a persistent vTPM and a libvirt before 8.9',
      inspection({ libvirtVersion: 8_008_000 }, disk('vda') + persistentTpm),
      'copy',
    ],
  ])('with %s', (_, seen, method) => {
    expect(planCapture(seen, defaults).method).toBe(method);
  });

  test('rebase is rejected if an undefine would lose something for good', () => {
    const seen = inspection({ hasManagedSave: true });
    expect(() => planCapture(seen, { ...defaults, method: 'rebase' })).toThrow(
      expect.objectContaining({ hint: 'use --method copy' }),
    );
  });

  test('a transient domain is not undefined', () => {
    expect(planCapture(inspection({ persistent: false }), defaults)).toMatchObject({
      method: 'rebase',
      undefines: [],
    });
  });
});

test('cold mode detaches only devices that QEMU cannot save', () => {
  const pci = `<hostdev mode='subsystem' type='pci' managed='yes'><source><address domain='0x0000' bus='0x06' slot='0x02' function='0x0'/></source></hostdev>`;
  const mdev = `<hostdev mode='subsystem' type='mdev' model='vfio-pci'><source><address uuid='c2177883-f1bb-47f0-914d-32a22e3a8804'/></source></hostdev>`;
  const usb = `<hostdev mode='subsystem' type='usb'><source><vendor id='0x1234'/><product id='0xbeef'/></source></hostdev>`;
  const vf = `<interface type='hostdev' managed='yes'><mac address='52:54:00:6d:90:02'/><source><address type='pci' domain='0x0000' bus='0x07' slot='0x00' function='0x1'/></source></interface>`;
  const seen = inspection({}, disk('vda') + pci + mdev + usb + vf);
  const detached = planCapture(seen, { ...defaults, mode: 'cold' }).detaches.map(({ xml }) => xml);
  expect(detached).toHaveLength(3);
  expect(detached.join()).toContain('0x06');
  expect(detached.join()).toContain('c2177883-f1bb-47f0-914d-32a22e3a8804');
  expect(detached.join()).toContain('<interface type="hostdev"');
  expect(planCapture(seen, defaults).detaches).toEqual([]);
});

test('cold mode rejects a path that libvirt would not restore from a managed save', () => {
  const tab = inspection({}, disk('vda', '', "<source file='/d/a&#9;b'/>"));
  expect(planCapture(tab, defaults).mode).toBe('live');
  expect(() => planCapture(tab, { ...defaults, mode: 'cold' })).toThrow(
    expect.objectContaining({
      message: expect.stringMatching(/path of a disk contains a tab/),
      hint: 'use --mode live',
    }),
  );
});

describe('a disk outside this host', () => {
  const rbd = `<disk type='network' device='disk'><driver name='qemu' type='raw'/><source protocol='rbd' name='pool/web'/><target dev='vda' bus='virtio'/></disk>`;
  const facts = outsideFacts(1);
  const seen = (changes = {}, devices = rbd) => {
    const { disks, ...rest } = inspection(changes, devices);
    const [{ disk: root }] = disks;
    return { ...rest, disks: [{ disk: root, facts }] as const };
  };

  test('is named by its protocol', () => {
    expect(seen().disks[0].disk.source).toBe('rbd:pool/web');
  });

  test('is taken live', () => {
    expect(planCapture(seen(), defaults)).toMatchObject({ mode: 'live', method: 'rebase' });
  });

  test('is not taken cold', () => {
    expect(() => planCapture(seen(), { ...defaults, mode: 'cold' })).toThrow(
      expect.objectContaining({
        message: expect.stringMatching(/disk vda is not completely on this host \(rbd:pool\/web\)/),
        hint: 'use --mode live',
      }),
    );
    const shared = rbd.replace('</disk>', '<shareable/></disk>');
    expect(() => planCapture(seen({}, shared), defaults)).toThrow(/live is not possible: /);
  });

  test.each([
    ['is on a network', rbd.replace("'vda'", "'vdb'"), 'rbd:pool/web'],
    [
      'has a layer there',
      disk('vdb', `<backingStore type='network'><format type='raw'/></backingStore>`),
      '/d/vdb',
    ],
  ])('a disk that is not taken, but %s, prevents a save as well', (_, second, where) => {
    const domain = inspection({}, disk('vda') + second);
    expect(planCapture(domain, defaults).mode).toBe('live');
    const cold = () => planCapture(domain, { ...defaults, mode: 'cold' });
    expect(cold).toThrow(`disk vdb is not completely on this host (${where}), and`);
  });
});
