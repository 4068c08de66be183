// The hardware of a domain becomes Glance's properties, with values that Nova accepts.
import { readFile } from 'node:fs/promises';
import { expect, test } from 'vitest';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';
import { machineProperties } from '#built/publish/machine-properties.js';

const fixture = (name: string): Promise<string> =>
  readFile(new URL(`../../fixtures/domain-xml/${name}.xml`, import.meta.url), 'utf8');

function propertiesOf(xml: string, bus = 'virtio'): Record<string, string> {
  const properties = Object.entries(machineProperties(parseDomainXml(xml), { bus }));
  return Object.fromEntries(properties.filter(([, value]) => value !== null)) as Record<
    string,
    string
  >;
}

test('a rich live domain', async () => {
  expect(propertiesOf(await fixture('rich-live'))).toEqual({
    architecture: 'x86_64',
    hw_machine_type: 'pc-q35-7.2',
    hw_firmware_type: 'uefi',
    os_secure_boot: 'required',
    hw_disk_bus: 'virtio',
    hw_vif_model: 'virtio',
    hw_video_model: 'virtio',
    hw_rng_model: 'virtio',
    hw_tpm_model: 'tpm-crb',
    hw_tpm_version: '2.0',
    hw_qemu_guest_agent: 'yes',
  });
});

const domain = (devices: string, os = '') =>
  `<domain><os><type arch='x86_64' machine='pc'>hvm</type>${os}</os><devices>${devices}</devices></domain>`;
const PLAIN = { architecture: 'x86_64', hw_machine_type: 'pc', hw_firmware_type: 'bios' };
const scsi = (index: number, model: string) =>
  `<controller type='scsi' index='${index}' model='${model}'/>`;

test.each([
  ['virtio-scsi, in either spelling', scsi(0, 'virtio-scsi'), { hw_scsi_model: 'virtio-scsi' }],
  ['an LSI controller', scsi(0, 'lsilogic'), { hw_scsi_model: 'lsilogic' }],
  ['two that differ', scsi(0, 'virtio-scsi') + scsi(1, 'lsilogic'), {}],
  ['one that Nova does not know', scsi(0, 'ncr53c90'), {}],
])('the controller of a SCSI disk: %s', (_, controllers, expected) => {
  const all = { ...PLAIN, hw_disk_bus: 'scsi', ...expected };
  expect(propertiesOf(domain(controllers), 'scsi')).toEqual(all);
  // A disk on another bus does not ask for the controller.
  expect(propertiesOf(domain(controllers))).toEqual({ ...PLAIN, hw_disk_bus: 'virtio' });
});

test('values that Nova does not know are left out, since it would refuse the image', () => {
  const odd = `<interface type='user'><model type='usb-net'/></interface>
    <video><model type='ramfb'/></video><watchdog model='itco' action='inject-nmi'/>
    <tpm model='tpm-spapr'><backend type='emulator' version='2.0'/></tpm>`;
  expect(propertiesOf(domain(odd), 'sd')).toEqual(PLAIN);
});

test('the TPM of the host is no vTPM, and one without a version is no vTPM for Nova', () => {
  const passthrough = `<tpm model='tpm-tis'><backend type='passthrough'><device path='/dev/tpm0'/></backend></tpm>`;
  const noVersion = `<tpm model='tpm-tis'><backend type='emulator'/></tpm>`;
  for (const tpm of [passthrough, noVersion])
    expect(propertiesOf(domain(tpm))).toEqual({ ...PLAIN, hw_disk_bus: 'virtio' });
});

test('the halves of virtio, the primary video device and the boot menu', () => {
  const devices = `<interface type='user'><model type='virtio-non-transitional'/></interface>
    <rng model='virtio-transitional'/><watchdog model='i6300esb' action='reset'/>
    <video><model type='bochs'/></video><video><model type='virtio' primary='yes'/></video>`;
  expect(propertiesOf(domain(devices, "<bootmenu enable='yes' timeout='3000'/>"))).toEqual({
    ...PLAIN,
    hw_disk_bus: 'virtio',
    hw_vif_model: 'virtio',
    hw_rng_model: 'virtio',
    hw_watchdog_action: 'reset',
    hw_video_model: 'virtio',
    hw_boot_menu: 'true',
  });
  expect(propertiesOf(domain('', "<bootmenu enable='no'/>"))).not.toHaveProperty('hw_boot_menu');
});
