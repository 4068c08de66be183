// The published XML has the virtual hardware, and nothing of the host.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseDomainXml, scrubDomainXml } from '#built/libvirt/xml/domain-xml.js';

const rich = await readFile(
  new URL('../../fixtures/domain-xml/rich-live.xml', import.meta.url),
  'utf8',
);
const scrubbed = scrubDomainXml(rich);

test('`scrubDomainXml` removes everything that names the host, the owner or a secret', () => {
  const secrets = [
    ...['db01', 'corp', 'ACME', 'alice', 'ledger', '555', 'SN-4242', 'hunter2', 'TOKEN'],
    ...['52:54:00', '10.11.12.13', '192.0.2.17', 'br-', 'vnet7', 'mon1', 'pool/', 'cpuset'],
    ...['4dea22b3', '43dc0cf8', 'f0a7cd4a', '0a81f5b2', '6dd3e4a5', 'c2177883', 'OVMF', '/'],
  ];
  const withoutTags = scrubbed.replaceAll('</', '<').replaceAll('/>', '>');
  expect(secrets.filter((word) => withoutTags.toLowerCase().includes(word.toLowerCase()))).toEqual(
    [],
  );
});

test('`scrubDomainXml` removes names, UUIDs, titles, metadata, labels, command lines and aliases', () => {
  const gone =
    'name|uuid|genid|title|description|metadata|sysinfo|emulator|source|alias|mac|address';
  const more = 'seclabel|qemu:commandline|nvram|auth|secret|backingStore|mirror|listen|cputune';
  expect(scrubbed.match(new RegExp(`<(?:${gone}|${more})[ />]`, 'g'))).toBeNull();
});

test('`scrubDomainXml` keeps the virtual hardware', () => {
  const { disks, ...domain } = parseDomainXml(scrubbed);
  expect(domain).toMatchObject({
    type: 'kvm',
    arch: 'x86_64',
    machine: 'pc-q35-7.2',
    memoryMib: 4097,
    vcpus: 4,
    firmware: 'uefi',
    secureBoot: true,
    tpm: { model: 'tpm-crb', backend: 'emulator', persistentState: true },
    hasAgentChannel: true,
  });
  expect(
    disks.map(({ target, bus, format, bootOrder }) => [target, bus, format, bootOrder]),
  ).toEqual([
    ['sda', 'sata', 'raw', 2],
    ['vda', 'virtio', 'qcow2', 1],
    ['vdb', 'virtio', 'raw', null],
    ['vdc', 'virtio', 'qcow2', null],
    ['fda', 'fdc', 'raw', null],
  ]);
  for (const kept of [
    '<model fallback="forbid">Skylake-Client-IBRS</model>',
    '<feature policy="require" name="ss"/>',
    '<timer name="rtc" tickpolicy="catchup"/>',
    '<spinlocks state="on" retries="8191"/>',
    '<hostdev mode="subsystem" type="mdev" model="vfio-pci"/>',
    '<rng model="virtio"/>',
  ]) {
    expect(scrubbed).toContain(kept);
  }
});

test('`scrubDomainXml` removes a value that looks like a secret in an allowed place', () => {
  const out = scrubDomainXml(
    "<domain type='/etc/passwd'><vcpu>10.0.0.1</vcpu><cpu mode='52:54:00:12:34:56'>" +
      '<model>4dea22b3-1d52-d8f3-2516-782e98ab3fa0</model><vendor>fe80::1</vendor></cpu>' +
      "<devices><sound model='me@host'/><video><model type='a&#10;b'/></video></devices></domain>",
  );
  expect(out.match(/passwd|10\.0|52:54|4dea|fe80|@|a\s*b/g)).toBeNull();
});

test('`scrubDomainXml` is deterministic and idempotent', () => {
  expect(scrubDomainXml(rich)).toBe(scrubbed);
  expect(scrubDomainXml(scrubbed)).toBe(scrubbed);
});
