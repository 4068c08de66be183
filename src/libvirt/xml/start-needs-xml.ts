// Reads from live XML what a start of the domain needs on its host. Pure.
import { describeHostDevices } from './hostdev-xml.ts';
import { elementsAt, valuesAt } from './xml-query.ts';
import { parseXml, type XmlElement } from './xml-tree.ts';

/**
 * `path`: it must exist. `folder`: its parent folder must exist, since QEMU creates the file.
 * `interface`: a network interface of the host. `network`, `pool`: of libvirt, and active.
 */
export type NeedKind = 'path' | 'folder' | 'interface' | 'network' | 'pool';

export interface StartNeed {
  kind: NeedKind;
  /** A path, or a name. */
  name: string;
  /** For messages: its use in the guest, such as `the kernel`. */
  what: string;
  /** A path that can be used instead. */
  otherwise?: string;
}

/** The place in the XML (see `valuesAt`), what must exist, and its use in the guest. */
const TABLE: readonly (readonly [query: string, kind: NeedKind, what: string])[] = [
  ['os/kernel', 'path', 'the kernel'],
  ['os/initrd', 'path', 'the initrd'],
  ['os/dtb', 'path', 'the device tree'],
  ['os/shim', 'path', 'the shim'],
  ['os/loader', 'path', 'the firmware'],
  ['os/acpi/table', 'path', 'an ACPI table'],
  ['sysinfo/entry@file', 'path', 'a firmware configuration file'],
  ['devices/emulator', 'path', 'the emulator'],
  ['devices/disk//source@file', 'path', 'a disk, medium or layer'],
  ['devices/disk//source@dev', 'path', 'a disk, medium or layer'],
  ['devices/disk//source@dir', 'path', 'a disk'],
  ['devices/disk[type=vhostuser]/source@path', 'path', 'the socket of a disk'],
  ['devices/disk//reservations/source@path', 'path', 'the socket of a reservation helper'],
  ['devices/disk[type=volume]/source@pool', 'pool', 'the storage pool of a disk'],
  ['devices/*//rom@file', 'path', 'the option ROM of a device'],
  ['devices/*[type=file]/source@path', 'folder', 'the log of a serial port, console or channel'],
  ['devices/*//log@file', 'folder', 'the log of a serial port, console or channel'],
  ['devices/*[type=dev]/source@path', 'path', 'the device of a serial or parallel port'],
  ['devices/*[type=unix]/source[mode=bind]@path', 'folder', 'the socket of a port or channel'],
  ['devices/*[type=unix]/source[mode=connect]@path', 'path', 'the socket of a port or channel'],
  ['devices/interface[type=bridge]/source@bridge', 'interface', 'the bridge of a network card'],
  ['devices/interface[type=direct]/source@dev', 'interface', 'the interface of a network card'],
  ['devices/interface[type=ethernet]/target[managed=no]@dev', 'interface', 'a tap device'],
  ['devices/interface[type=network]/source@network', 'network', 'the network of a network card'],
  ['devices/interface[type=vdpa]/source@dev', 'path', 'the device of a network card'],
  [
    'devices/interface[type=vhostuser]/source[mode=client]@path',
    'path',
    'the socket of a network card',
  ],
  [
    'devices/interface[type=vhostuser]/source[mode=server]@path',
    'folder',
    'the socket of a network card',
  ],
  ['devices/interface/script@path', 'path', 'the script of a network card'],
  ['devices/interface/backend@tap', 'path', 'the backend of a network card'],
  ['devices/interface/backend@vhost', 'path', 'the backend of a network card'],
  ['devices/interface/backend@logFile', 'folder', 'the log of a network card'],
  ['devices/graphics@socket', 'folder', 'the socket of the display'],
  ['devices/graphics/listen@socket', 'folder', 'the socket of the display'],
  ['devices/graphics/gl@rendernode', 'path', 'the render node of the display'],
  ['devices/video//acceleration@rendernode', 'path', 'the render node of the display'],
  ['devices/audio[type=file]@path', 'folder', 'the file of a sound card'],
  ['devices/filesystem/source@dir', 'path', 'a shared folder'],
  ['devices/filesystem/source@file', 'path', 'a shared file system'],
  ['devices/filesystem/source@dev', 'path', 'a shared file system'],
  ['devices/filesystem/source@socket', 'path', 'the socket of a shared folder'],
  ['devices/filesystem/binary@path', 'path', 'the server of a shared folder'],
  ['devices/shmem/server@path', 'path', 'the socket of a shared memory'],
  ['devices/tpm/backend/device@path', 'path', 'the TPM'],
  ['devices/tpm/backend[type=external]/source@path', 'path', 'the socket of the TPM'],
  ['devices/rng/backend[model=random]', 'path', 'the source of a random number generator'],
  [
    'devices/rng/backend//source[mode=connect]@path',
    'path',
    'the socket of a random number generator',
  ],
  ['devices/smartcard/database', 'path', 'the database of a smartcard'],
  ['devices/smartcard/source[mode=connect]@path', 'path', 'the socket of a smartcard'],
  ['devices/memory/source/path', 'path', 'the file of a memory device'],
  ['devices/input/source@dev', 'path', 'an input device'],
  ['devices/input/source@evdev', 'path', 'an input device'],
  ['devices/hostdev[type=storage]/source/block', 'path', 'a device of the host'],
  ['devices/hostdev[type=misc]/source/char', 'path', 'a device of the host'],
];

/** Reads live XML. Excludes what only other hosts or daemons know (an NBD server, a secret). */
export function startNeeds(xml: string): StartNeed[] {
  const domain = parseXml(xml);
  const listed = TABLE.flatMap(([query, kind, what]) =>
    valuesAt(domain, query).map((name) => ({ kind, name, what })),
  );
  const all = [...listed, ...firmwareVariables(domain), ...pipes(domain), ...hostDevices(domain)];
  return [...all, ...kernelDevices(domain)].filter(isNew);
}

function isNew({ kind, name }: StartNeed, index: number, all: readonly StartNeed[]): boolean {
  return all.findIndex((other) => other.kind === kind && other.name === name) === index;
}

/** libvirt creates the file from its template. */
function firmwareVariables(domain: XmlElement): StartNeed[] {
  const nvram = domain.find('os', 'nvram');
  const name = nvram?.find('source')?.attribute('file') ?? nvram?.text() ?? '';
  if (name === '') return [];
  const template = nvram?.attribute('template') ?? null;
  const need = { kind: 'path', name, what: "the firmware's variables" } as const;
  return [template === null ? need : { ...need, otherwise: template }];
}

/** QEMU uses one FIFO for both directions, or two. */
function pipes(domain: XmlElement): StartNeed[] {
  return valuesAt(domain, 'devices/*[type=pipe]/source@path').map((name) => {
    return { kind: 'path', name, otherwise: `${name}.in`, what: 'the pipe of a serial port' };
  });
}

function hostDevices(domain: XmlElement): StartNeed[] {
  const devices = domain.find('devices');
  const what = 'a device of the host';
  const given = (devices === undefined ? [] : describeHostDevices(devices)).flatMap(
    ({ kind, address }): StartNeed[] => {
      if (kind !== 'pci' && kind !== 'mdev') return [];
      return [{ kind: 'path', name: `/sys/bus/${kind}/devices/${address}`, what }];
    },
  );
  const usb = elementsAt(domain, 'devices/hostdev[type=usb]/source/address').flatMap((address) => {
    const [bus, device] = ['bus', 'device'].map((name) => address.attribute(name));
    if (!bus || !device) return [];
    const name = `/dev/bus/usb/${bus.padStart(3, '0')}/${device.padStart(3, '0')}`;
    return [{ kind: 'path', name, what } as const];
  });
  return [...given, ...usb];
}

function kernelDevices(domain: XmlElement): StartNeed[] {
  const needs: StartNeed[] = [];
  if (domain.attribute('type') === 'kvm')
    needs.push({ kind: 'path', name: '/dev/kvm', what: 'KVM' });
  if (elementsAt(domain, 'devices/vsock').length > 0) {
    needs.push({ kind: 'path', name: '/dev/vhost-vsock', what: 'the vsock device' });
  }
  for (const page of elementsAt(domain, 'memoryBacking/hugepages/page')) {
    // libvirt writes KiB.
    const name = `/sys/kernel/mm/hugepages/hugepages-${page.attribute('size')}kB`;
    if (page.attribute('unit') === 'KiB') needs.push({ kind: 'path', name, what: 'huge pages' });
  }
  return needs;
}
