// Reads a domain's XML into plain values. Pure.
import { describeModels, type ModelDescriptions } from './device-models-xml.ts';
import { type DiskDescription, describeDisk } from './disk-xml.ts';
import { describeHostDevices, type HostDevice } from './hostdev-xml.ts';
import { parseXml, type XmlElement } from './xml-tree.ts';

export { type ChainLayer, type DiskDescription, layerPaths, type Mirror } from './disk-xml.ts';
export type { HostDevice } from './hostdev-xml.ts';
export { scrubDomainXml } from './scrub-domain-xml.ts';

export interface DomainDescription {
  name: string;
  uuid: string;
  /** `kvm`, `qemu`… */
  type: string;
  arch: string;
  /** `pc-q35-7.2`, for example; null if the XML leaves it to libvirt. */
  machine: string | null;
  /** Rounded up. */
  memoryMib: number;
  vcpus: number;
  firmware: 'bios' | 'uefi';
  secureBoot: boolean;
  /** Path of the UEFI variables; null if there are none, or they are not in a file. */
  nvram: string | null;
  /** Format of that file: `raw`, or `qcow2` (libvirt 9.2); null without one. */
  nvramFormat: string | null;
  tpm: TpmDescription | null;
  /** Whether the domain has a channel for the guest agent; an agent may not answer. */
  hasAgentChannel: boolean;
  /** Whether a process in the guest has that channel open; null if the XML does not have it. */
  isAgentConnected: boolean | null;
  disks: DiskDescription[];
  /** Host devices of the guest, including interfaces. */
  hostdevs: HostDevice[];
  interfaces: { model: string | null; hostdev: boolean }[];
  /** Whether one of `interfaces` is a host device that libvirt detaches from and returns to the host. */
  hasManagedHostdevInterfaces: boolean;
  models: ModelDescriptions;
}

export interface TpmDescription {
  model: string | null;
  /** `1.2` or `2.0`; stored XML may leave it to libvirt. */
  version: string | null;
  /** `emulator` (its state is in a file), `passthrough`, `external`. */
  backend: string | null;
  /** Whether the state survives the end of a transient domain. */
  persistentState: boolean;
}

/**
 * Reads live or stored XML.
 * @throws Error if it is not the XML of a domain; the message does not quote it
 */
export function parseDomainXml(xml: string): DomainDescription {
  const domain = parseXml(xml);
  if (domain.name !== 'domain') throw new Error(`<domain> expected, <${domain.name}> found`);
  const devices = domain.find('devices');
  const hostdevs = devices === undefined ? [] : describeHostDevices(devices);
  const type = domain.find('os', 'type');
  return {
    name: domain.find('name')?.text() ?? '',
    uuid: domain.find('uuid')?.text() ?? '',
    type: domain.attribute('type') ?? '',
    arch: type?.attribute('arch') ?? '',
    machine: type?.attribute('machine') ?? null,
    memoryMib: memoryMib(domain.find('memory')),
    vcpus: Number.parseInt(domain.find('vcpu')?.text() || '1', 10),
    ...describeFirmware(domain.find('os')),
    tpm: describeTpm(devices?.find('tpm')),
    ...describeAgentChannel(devices?.children('channel') ?? []),
    disks: (devices?.children('disk') ?? []).map(describeDisk),
    hostdevs,
    interfaces: (devices?.children('interface') ?? []).map((element) => ({
      model: element.find('model')?.attribute('type') ?? null,
      hostdev: element.attribute('type') === 'hostdev',
    })),
    hasManagedHostdevInterfaces: hostdevs.some(
      ({ element, managed }) => element === 'interface' && managed,
    ),
    models: describeModels(domain),
  };
}

// libvirt writes KiB; users may write any of these units.
const UNITS: Readonly<Record<string, number>> = {
  b: 1,
  bytes: 1,
  KB: 1e3,
  k: 2 ** 10,
  KiB: 2 ** 10,
  MB: 1e6,
  M: 2 ** 20,
  MiB: 2 ** 20,
  GB: 1e9,
  G: 2 ** 30,
  GiB: 2 ** 30,
  TB: 1e12,
  T: 2 ** 40,
  TiB: 2 ** 40,
};

function memoryMib(memory: XmlElement | undefined): number {
  const unit = UNITS[memory?.attribute('unit') ?? 'KiB'] ?? 2 ** 10;
  return Math.ceil((Number(memory?.text() || '0') * unit) / 2 ** 20);
}

function describeFirmware(
  os: XmlElement | undefined,
): Pick<DomainDescription, 'firmware' | 'secureBoot' | 'nvram' | 'nvramFormat'> {
  const loader = os?.find('loader');
  const nvram = os?.find('nvram');
  const isUefi =
    os?.attribute('firmware') === 'efi' ||
    loader?.attribute('type') === 'pflash' ||
    nvram !== undefined;
  const features = os?.find('firmware')?.children('feature') ?? [];
  const hasSecureBoot = features.some(
    (feature) =>
      feature.attribute('name') === 'secure-boot' && feature.attribute('enabled') === 'yes',
  );
  const path = nvram?.find('source')?.attribute('file') ?? (nvram?.text() || null);
  return {
    firmware: isUefi ? 'uefi' : 'bios',
    secureBoot: hasSecureBoot || loader?.attribute('secure') === 'yes',
    nvram: path,
    nvramFormat: path === null ? null : (nvram?.attribute('format') ?? 'raw'),
  };
}

function describeTpm(tpm: XmlElement | undefined): TpmDescription | null {
  if (tpm === undefined) return null;
  const backend = tpm.find('backend');
  return {
    model: tpm.attribute('model'),
    version: backend?.attribute('version') ?? null,
    backend: backend?.attribute('type') ?? null,
    persistentState: backend?.attribute('persistent_state') === 'yes',
  };
}

function describeAgentChannel(
  channels: readonly XmlElement[],
): Pick<DomainDescription, 'hasAgentChannel' | 'isAgentConnected'> {
  const targets = channels.map((channel) => channel.find('target'));
  const agent = targets.find((target) => target?.attribute('name') === 'org.qemu.guest_agent.0');
  const state = agent?.attribute('state') ?? null;
  const isAgentConnected = state === null ? null : state === 'connected';
  return { hasAgentChannel: agent !== undefined, isAgentConnected };
}
