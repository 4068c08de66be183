// `startNeeds`: what a start needs on its host, for every row of the table.
import { expect, test } from 'vitest';
import { startNeeds } from '#built/libvirt/xml/start-needs-xml.js';

function needsOf(devices: string, os = '', type = 'qemu'): string[] {
  const xml = `<domain type='${type}'><os>${os}</os><devices>${devices}</devices></domain>`;
  return startNeeds(xml).map(({ kind, name }) => `${kind} ${name}`);
}

test.each<[string, string, string[]]>([
  ['an ISO', "<disk type='file' device='cdrom'><source file='/a.iso'/></disk>", ['path /a.iso']],
  ['an empty drive', "<disk type='file' device='cdrom'><target dev='sda'/></disk>", []],
  [
    'a disk with its layers',
    "<disk type='file'><source file='/a'/><backingStore type='file'><source file='/b'/><backingStore type='block'><source dev='/dev/c'/><backingStore/></backingStore></backingStore></disk>",
    ['path /a', 'path /b', 'path /dev/c'],
  ],
  ['a disk of a server', "<disk type='network'><source protocol='nbd' name='x'/></disk>", []],
  ['a volume', "<disk type='volume'><source pool='p' volume='v'/></disk>", ['pool p']],
  [
    'a vhost-user disk',
    "<disk type='vhostuser'><source type='unix' path='/s'/></disk>",
    ['path /s'],
  ],
  ['a log', "<serial type='file'><source path='/log/a'/></serial>", ['folder /log/a']],
  ['a log beside', "<serial type='pty'><log file='/log/b'/></serial>", ['folder /log/b']],
  [
    'a channel that listens',
    "<channel type='unix'><source mode='bind' path='/c/s'/></channel>",
    ['folder /c/s'],
  ],
  [
    'a channel that connects',
    "<channel type='unix'><source mode='connect' path='/c/s'/></channel>",
    ['path /c/s'],
  ],
  [
    'a pseudo terminal',
    "<console type='pty' tty='/dev/pts/1'><source path='/dev/pts/1'/></console>",
    [],
  ],
  ['a pipe', "<serial type='pipe'><source path='/p'/></serial>", ['path /p']],
  ['a bridge', "<interface type='bridge'><source bridge='br0'/></interface>", ['interface br0']],
  [
    'macvtap',
    "<interface type='direct'><source dev='eth0' mode='bridge'/></interface>",
    ['interface eth0'],
  ],
  [
    'a network',
    "<interface type='network'><source network='default' bridge='virbr0'/></interface>",
    ['network default'],
  ],
  [
    'vhost-user',
    "<interface type='vhostuser'><source type='unix' path='/v' mode='client'/></interface><interface type='vhostuser'><source type='unix' path='/w/v' mode='server'/></interface>",
    ['path /v', 'folder /w/v'],
  ],
  [
    'PCI, mdev and USB devices',
    "<hostdev mode='subsystem' type='pci'><source><address domain='0x0000' bus='0x06' slot='0x12' function='0x5'/></source></hostdev><hostdev mode='subsystem' type='mdev'><source><address uuid='c2177883'/></source></hostdev><hostdev mode='subsystem' type='usb'><source><vendor id='0x046d'/><product id='0xc52b'/><address bus='1' device='4'/></source></hostdev>",
    [
      'path /sys/bus/pci/devices/0000:06:12.5',
      'path /sys/bus/mdev/devices/c2177883',
      'path /dev/bus/usb/001/004',
    ],
  ],
  [
    'a shared folder',
    "<filesystem type='mount'><source dir='/share'/></filesystem>",
    ['path /share'],
  ],
  ['shared memory', "<shmem name='m'><server path='/run/m'/></shmem>", ['path /run/m']],
  [
    'an external TPM',
    "<tpm><backend type='external'><source type='unix' mode='connect' path='/t'/></backend></tpm>",
    ['path /t'],
  ],
  [
    'randomness',
    "<rng><backend model='random'>/dev/urandom</backend></rng>",
    ['path /dev/urandom'],
  ],
  [
    'a daemon of randomness',
    "<rng><backend model='egd' type='unix'><source mode='connect' path='/e'/></backend></rng>",
    ['path /e'],
  ],
  [
    'persistent memory',
    "<memory model='nvdimm'><source><path>/nv</path></source></memory>",
    ['path /nv'],
  ],
  ['an option ROM', "<interface type='user'><rom file='/r.rom'/></interface>", ['path /r.rom']],
  [
    'a display',
    "<graphics type='spice'><listen type='socket' socket='/g/s'/></graphics>",
    ['folder /g/s'],
  ],
  ['a vsock', "<vsock><cid auto='yes'/></vsock>", ['path /dev/vhost-vsock']],
])('`startNeeds` finds in live XML: %s', (_, devices, needs) => {
  expect(needsOf(devices)).toEqual(needs);
});

test('`startNeeds` finds emulator, kernel, firmware and KVM', () => {
  const os = `<loader>/fw.fd</loader><kernel>/k</kernel><initrd>/i</initrd><dtb>/d</dtb><acpi><table type='slic'>/a</table></acpi>`;
  expect(needsOf('<emulator>/qemu</emulator>', os, 'kvm').sort()).toEqual(
    ['/a', '/d', '/dev/kvm', '/fw.fd', '/i', '/k', '/qemu'].map((path) => `path ${path}`),
  );
});

test('`startNeeds` accepts the template instead of missing UEFI variables', () => {
  const [need] = startNeeds(
    "<domain type='qemu'><os><nvram template='/vars'>/web.fd</nvram></os></domain>",
  );
  expect(need).toMatchObject({ kind: 'path', name: '/web.fd', otherwise: '/vars' });
});
