// Reads the host devices of a domain's XML. Pure.
import type { XmlElement } from './xml-tree.ts';

export interface HostDevice {
  /** The element of the device. */
  element: 'hostdev' | 'interface';
  /** `pci`, `mdev`, `usb`, `scsi`… */
  kind: string;
  /** Whether libvirt detaches it from the host's driver and returns it. */
  managed: boolean;
  /** XML of the element, to detach and attach the device. */
  xml: string;
  /** True on the root bus of a PCIe machine type: its devices cannot be unplugged. */
  onRootBus: boolean;
  /** For messages: `0000:06:12.5`, an mdev's UUID, `046d:c52b`… */
  address: string;
}

/** Returns all `<hostdev>` and `<interface type='hostdev'>` of `<devices>`, in their order. */
export function describeHostDevices(devices: XmlElement): HostDevice[] {
  const isPcie = devices
    .children('controller')
    .some((controller) => controller.attribute('model') === 'pcie-root');
  return devices.children().flatMap((device) => {
    if (device.name === 'hostdev') return [describe('hostdev', device, isPcie)];
    const isHostInterface = device.name === 'interface' && device.attribute('type') === 'hostdev';
    return isHostInterface ? [describe('interface', device, isPcie)] : [];
  });
}

function describe(element: HostDevice['element'], device: XmlElement, isPcie: boolean): HostDevice {
  const place = device.find('address');
  const onBusZero =
    place?.attribute('type') === 'pci' && Number(place.attribute('bus') ?? '0') === 0;
  const source = device.find('source');
  const address = source?.find('address');
  const kind = element === 'hostdev' ? device.attribute('type') : address?.attribute('type');
  return {
    element,
    kind: kind ?? 'unknown',
    managed: device.attribute('managed') === 'yes',
    xml: device.toXml(),
    onRootBus: isPcie && onBusZero,
    address: describeAddress(kind ?? 'unknown', source),
  };
}

function describeAddress(kind: string, source: XmlElement | undefined): string {
  const address = source?.find('address');
  const part = (name: string, digits: number): string =>
    (address?.attribute(name) ?? '').replace(/^0x/, '').padStart(digits, '0');
  if (kind === 'pci') {
    return `${part('domain', 4)}:${part('bus', 2)}:${part('slot', 2)}.${part('function', 1)}`;
  }
  if (kind === 'usb') return describeUsb(source);
  if (kind === 'mdev') return address?.attribute('uuid') ?? 'unknown';
  if (kind === 'scsi') {
    const adapter = source?.find('adapter')?.attribute('name') ?? source?.attribute('name');
    return `${adapter ?? 'unknown'} ${part('bus', 1)}:${part('target', 1)}:${part('unit', 1)}`;
  }
  return source?.attribute('wwpn') ?? 'unknown';
}

function describeUsb(source: XmlElement | undefined): string {
  const hex = (name: string): string | undefined =>
    source?.find(name)?.attribute('id')?.replace(/^0x/, '');
  const address = source?.find('address');
  const [vendor, product] = [hex('vendor'), hex('product')];
  if (vendor !== undefined && product !== undefined) return `${vendor}:${product}`;
  return `bus ${address?.attribute('bus') ?? '?'} device ${address?.attribute('device') ?? '?'}`;
}
