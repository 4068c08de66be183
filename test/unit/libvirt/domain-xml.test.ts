// `parseDomainXml`: rich live XML, stored XML with special characters, and minimal XML.
import { readFile } from 'node:fs/promises';
import { describe, expect, test } from 'vitest';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

const fixture = (name: string): Promise<string> =>
  readFile(new URL(`../../fixtures/domain-xml/${name}.xml`, import.meta.url), 'utf8');

describe('a rich live domain', async () => {
  const domain = parseDomainXml(await fixture('rich-live'));

  test('has a machine type, firmware and a TPM', () => {
    expect(domain).toMatchObject({
      name: 'db01.corp.example',
      uuid: '4dea22b3-1d52-d8f3-2516-782e98ab3fa0',
      type: 'kvm',
      arch: 'x86_64',
      machine: 'pc-q35-7.2',
      memoryMib: 4097,
      vcpus: 4,
      firmware: 'uefi',
      secureBoot: true,
      nvram: '/var/lib/libvirt/qemu/nvram/db01_VARS.fd',
      tpm: { model: 'tpm-crb', backend: 'emulator', persistentState: true },
      hasAgentChannel: true,
      hasManagedHostdevInterfaces: true,
      interfaces: [
        { model: 'virtio', hostdev: false },
        { model: null, hostdev: true },
      ],
    });
  });

  test('has a disk with three layers and a ready mirror', () => {
    expect(domain.disks[1]).toEqual({
      target: 'vda',
      bus: 'virtio',
      device: 'disk',
      type: 'file',
      source: '/var/lib/libvirt/images/db01.qcow2',
      remote: null,
      volume: null,
      format: 'qcow2',
      readonly: false,
      shareable: false,
      transient: false,
      encrypted: false,
      obstacle: null,
      seed: null,
      bootOrder: 1,
      alias: 'virtio-disk0',
      backingChain: [
        {
          type: 'file',
          path: '/var/lib/libvirt/images/mid & more.qcow2',
          format: 'qcow2',
          index: 5,
          encrypted: false,
          volume: null,
          obstacle: null,
        },
        {
          type: 'block',
          path: '/dev/vg0/golden',
          format: 'raw',
          index: 6,
          encrypted: false,
          volume: null,
          obstacle: null,
        },
      ],
      backingChainKnown: true,
      index: 3,
      mirror: { job: 'copy', ready: 'yes', path: '/srv/delta.qcow2' },
    });
  });

  test('has a CD-ROM with a boot order, an rbd disk, an encrypted one and an empty floppy', () => {
    expect(domain.disks[0]).toMatchObject({
      target: 'sda',
      device: 'cdrom',
      readonly: true,
      bootOrder: 2,
      backingChain: [],
      backingChainKnown: true,
    });
    expect(domain.disks[2]).toMatchObject({
      target: 'vdb',
      type: 'network',
      source: null,
      shareable: true,
      encrypted: false,
    });
    expect(domain.disks[3]).toMatchObject({
      target: 'vdc',
      encrypted: true,
      transient: true,
      mirror: { job: 'copy', ready: 'no', path: '/srv/other.qcow2' },
    });
    expect(domain.disks[4]).toMatchObject({ target: 'fda', device: 'floppy', source: null });
  });

  test('has host devices, each with a readable address', () => {
    expect(
      domain.hostdevs.map(({ element, kind, managed, address }) => [
        element,
        kind,
        managed,
        address,
      ]),
    ).toEqual([
      ['interface', 'pci', true, '0000:06:12.5'],
      ['hostdev', 'pci', true, '0000:06:02.0'],
      ['hostdev', 'mdev', false, 'c2177883-f1bb-47f0-914d-32a22e3a8804'],
      ['hostdev', 'usb', true, '046d:c52b'],
      ['hostdev', 'scsi', false, 'scsi_host0 0:1:7'],
    ]);
  });

  test("returns each host device's element unchanged, except the quotes", async () => {
    const source = await fixture('rich-live');
    for (const { xml, element } of domain.hostdevs) {
      const slices = source.match(new RegExp(`<${element} [^]*?</${element}>`, 'g')) ?? [];
      expect(slices.map((slice) => slice.replaceAll("'", '"'))).toContain(xml);
    }
    expect(domain.hostdevs[1]?.xml).toContain('<rom file="/etc/fake/boot &lt;1&gt;.bin"/>');
  });
});

test('`parseDomainXml` keeps special characters in names and paths', async () => {
  const domain = parseDomainXml(await fixture('awkward-inactive'));
  expect(domain).toMatchObject({
    name: `a b;c "d" 'e' <f> &amp; grün 猫 😀`,
    arch: 'aarch64',
    memoryMib: 512,
    firmware: 'uefi',
    secureBoot: false,
    nvram: '/var/lib/libvirt/qemu/nvram/a & b.fd',
    tpm: { model: 'tpm-tis', backend: 'emulator', persistentState: false },
    hasAgentChannel: false,
    hostdevs: [],
    hasManagedHostdevInterfaces: false,
  });
  expect(
    domain.disks.map(({ target, type, device, source }) => [target, type, device, source]),
  ).toEqual([
    ['vda', 'file', 'disk', `/srv/it's; a "disk" & 1e5/007.raw`],
    ['sdb', 'block', 'lun', '/dev/disk/by-id/x'],
    ['vdb', 'volume', 'disk', null],
  ]);
  expect(domain.disks[0]).toMatchObject({
    backingChain: [],
    backingChainKnown: false,
    index: null,
    mirror: null,
  });
});

test('`parseDomainXml` keeps numeric names as text, and has defaults for missing elements', async () => {
  expect(parseDomainXml(await fixture('minimal-007'))).toMatchObject({
    name: '007',
    machine: null,
    memoryMib: 64,
    vcpus: 1,
    firmware: 'bios',
    nvram: null,
    tpm: null,
    disks: [],
    interfaces: [],
  });
});

test('`parseDomainXml` reads a legacy mirror and all values of "ready"', () => {
  const mirror = (attributes: string) =>
    parseDomainXml(
      `<domain><devices><disk type='file'><mirror ${attributes}/></disk></devices></domain>`,
    ).disks[0]?.mirror;
  expect(mirror("file='/a' ready='yes'")).toEqual({ job: null, ready: 'yes', path: '/a' });
  expect(mirror("job='copy' ready='pivot'")?.ready).toBe('pivot');
  expect(mirror("job='copy' ready='abort'")?.ready).toBe('abort');
  expect(mirror("job='copy'")?.ready).toBe('no');
});

test.each([
  ['cut off', '<domain><name>top-secret</name>'],
  ['wrongly nested', '<domain><name>top-secret</domain></name>'],
  ['with a DOCTYPE', '<!DOCTYPE d [<!ENTITY x "top-secret">]><domain><name>&x;</name></domain>'],
  ['of a network', '<network><name>top-secret</name></network>'],
  ['empty', ''],
  ['no XML', 'top-secret'],
])('`parseDomainXml` rejects XML that is %s, without quoting it', (_, xml) => {
  const refusal = (() => {
    try {
      parseDomainXml(xml);
    } catch (error) {
      return String(error);
    }
    return undefined;
  })();
  expect(refusal).toMatch(/^Error: /);
  expect(refusal).not.toContain('top-secret');
});

test('`parseDomainXml` keeps undefined entities and invalid code points as text', () => {
  const xml = '<domain><name>&nope; &#x110000; &#65;&#x42;</name></domain>';
  expect(parseDomainXml(xml).name).toBe('&nope; &#x110000; AB');
});
