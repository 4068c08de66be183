// Removes everything from a domain's XML that must not be published: keeps the shape of the machine only. Pure.
import { parseXml, writeXml, type XmlElement, type XmlOutput } from './xml-tree.ts';

/** What is kept of an element; everything else is removed. */
interface Allowed {
  attributes?: readonly string[];
  /** Attributes that are kept only with one of these values. */
  values?: Readonly<Record<string, readonly string[]>>;
  /** Keeps the text if it is a plain word or number. */
  text?: true;
  children?: Readonly<Record<string, Allowed>>;
  /** Keeps children of any name, each by this rule. */
  anyChild?: Allowed;
}

/**
 * Keeps memory, vcpu, os, features, cpu, clock and the models, buses and targets of devices.
 * Removes the name (often a host name), UUIDs, MAC addresses, passwords, paths, addresses,
 * host names, titles, metadata, and all that a later libvirt adds. The image's record has its name.
 * @throws Error if it is not XML; the message does not quote it
 */
export function scrubDomainXml(xml: string): string {
  return writeXml(scrub(parseXml(xml), DOMAIN));
}

// A second check after the allow-list: values with a slash, an @ or a line break, and long values, are removed.
const PLAIN = /^[\w.:,+ -]{1,64}$/;
// Values that identify a host or an owner even in an allowed place: a MAC or IP address, a UUID.
const IDENTIFYING =
  /(?:[0-9a-f]{2}[:-]){5}[0-9a-f]{2}|\d{1,3}(?:\.\d{1,3}){3}|[0-9a-f]{8}-[0-9a-f]{4}-|[0-9a-f:]*::[0-9a-f:]*/i;

function scrub(element: XmlElement, allowed: Allowed): XmlOutput {
  const attributes = (allowed.attributes ?? []).flatMap((name) => {
    const value = element.attribute(name);
    return value !== null && isHarmless(value) ? [[name, value] as const] : [];
  });
  const known = Object.entries(allowed.values ?? {}).flatMap(([name, values]) => {
    const value = element.attribute(name);
    return value !== null && values.includes(value) ? [[name, value] as const] : [];
  });
  const text = allowed.text === true ? element.text() : '';
  return {
    name: element.name,
    attributes: Object.fromEntries([...attributes, ...known]),
    children: element.children().flatMap((child) => {
      const rule = ruleFor(child.name, allowed);
      return rule === undefined ? [] : [scrub(child, rule)];
    }),
    text: isHarmless(text) ? text : '',
  };
}

function ruleFor(name: string, { children = {}, anyChild }: Allowed): Allowed | undefined {
  if (Object.hasOwn(children, name)) return children[name];
  return /^[a-z][\w-]*$/i.test(name) ? anyChild : undefined;
}

function isHarmless(value: string): boolean {
  return PLAIN.test(value) && !IDENTIFYING.test(value);
}

const NOTHING: Allowed = {};
const MEMORY: Allowed = { attributes: ['unit'], text: true };
const STATE: Allowed = { attributes: ['state', 'policy', 'mode', 'enabled', 'retries', 'driver'] };

const DISK: Allowed = {
  attributes: ['type', 'device'],
  children: {
    driver: { attributes: ['name', 'type'] },
    target: { attributes: ['dev', 'bus', 'removable'] },
    readonly: NOTHING,
    shareable: NOTHING,
    transient: NOTHING,
    boot: { attributes: ['order'] },
  },
};

const CHARACTER_DEVICE: Allowed = {
  children: { target: { attributes: ['type', 'port'] } },
};

// Any other name may be chosen by the owner.
const WELL_KNOWN_CHANNELS = [
  'org.qemu.guest_agent.0',
  'com.redhat.spice.0',
  'org.spice-space.webdav.0',
  'org.spice-space.stream.0',
];

const DEVICES: Readonly<Record<string, Allowed>> = {
  disk: DISK,
  controller: { attributes: ['type', 'index', 'model', 'ports', 'vectors'] },
  interface: {
    attributes: ['type'],
    children: { model: { attributes: ['type'] }, boot: { attributes: ['order'] } },
  },
  serial: CHARACTER_DEVICE,
  console: CHARACTER_DEVICE,
  channel: {
    children: { target: { attributes: ['type'], values: { name: WELL_KNOWN_CHANNELS } } },
  },
  input: { attributes: ['type', 'bus'] },
  tpm: {
    attributes: ['model'],
    children: { backend: { attributes: ['type', 'version', 'persistent_state'] } },
  },
  graphics: { attributes: ['type'] },
  sound: { attributes: ['model'] },
  video: {
    children: { model: { attributes: ['type', 'ram', 'vram', 'vgamem', 'heads', 'primary'] } },
  },
  hostdev: { attributes: ['mode', 'type', 'model'] },
  watchdog: { attributes: ['model', 'action'] },
  memballoon: { attributes: ['model'] },
  rng: { attributes: ['model'] },
  panic: { attributes: ['model'] },
  iommu: { attributes: ['model'] },
  vsock: { attributes: ['model'] },
};

const OS: Allowed = {
  attributes: ['firmware'],
  children: {
    type: { attributes: ['arch', 'machine'], text: true },
    firmware: { children: { feature: { attributes: ['enabled', 'name'] } } },
    loader: { attributes: ['readonly', 'secure', 'type', 'format'] },
    boot: { attributes: ['dev'] },
    bootmenu: { attributes: ['enable', 'timeout'] },
  },
};

const CPU: Allowed = {
  attributes: ['mode', 'match', 'check', 'migratable'],
  children: {
    model: { attributes: ['fallback'], text: true },
    vendor: { text: true },
    topology: { attributes: ['sockets', 'dies', 'clusters', 'cores', 'threads'] },
    feature: { attributes: ['policy', 'name'] },
  },
};

const DOMAIN: Allowed = {
  attributes: ['type'],
  children: {
    memory: MEMORY,
    currentMemory: MEMORY,
    vcpu: { attributes: ['placement', 'current'], text: true },
    os: OS,
    features: { anyChild: { ...STATE, anyChild: STATE } },
    cpu: CPU,
    clock: {
      attributes: ['offset'],
      children: {
        timer: { attributes: ['name', 'tickpolicy', 'present', 'mode', 'track'] },
      },
    },
    on_poweroff: { text: true },
    on_reboot: { text: true },
    on_crash: { text: true },
    devices: { children: DEVICES },
  },
};
