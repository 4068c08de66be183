// Describes the virtual hardware of an image's domain in Glance's properties. Pure.
import type { DomainDescription } from '../libvirt/xml/domain-xml.ts';

/**
 * Returns the properties that a guest needs to find the same hardware; null for unknown ones. They have
 * only values that Nova accepts: it refuses to boot an image with any other, such as a bus that only
 * QEMU has.
 * @see https://docs.openstack.org/glance/latest/admin/useful-image-properties.html
 * @see nova/objects/fields.py for the values
 */
export function machineProperties(
  description: DomainDescription,
  disk: { bus: string },
): Record<string, string | null> {
  const { arch, machine, firmware, secureBoot, tpm, models, interfaces } = description;
  const vif = interfaces.find(({ model }) => model !== null)?.model ?? null;
  return {
    architecture: arch,
    hw_machine_type: machine,
    hw_firmware_type: firmware,
    os_secure_boot: secureBoot ? 'required' : null,
    hw_disk_bus: known(DISK_BUSES, disk.bus),
    hw_scsi_model: disk.bus === 'scsi' ? known(SCSI_MODELS, plainVirtio(models.scsi)) : null,
    hw_vif_model: known(VIF_MODELS, plainVirtio(vif)),
    hw_video_model: known(VIDEO_MODELS, models.video),
    hw_rng_model: known(['virtio'], plainVirtio(models.rng)),
    hw_watchdog_action: known(WATCHDOG_ACTIONS, models.watchdogAction),
    hw_boot_menu: models.bootMenu === true ? 'true' : null,
    ...(tpm?.backend === 'emulator' ? tpmProperties(tpm) : {}),
    hw_qemu_guest_agent: description.hasAgentChannel ? 'yes' : null,
  };
}

const DISK_BUSES = ['fdc', 'ide', 'sata', 'scsi', 'usb', 'virtio', 'xen'];
const SCSI_MODELS = [
  ...['buslogic', 'ibmvscsi', 'lsilogic', 'lsisas1068', 'lsisas1078', 'virtio-scsi', 'vmpvscsi'],
];
const VIF_MODELS = [
  ...['e1000', 'e1000e', 'lan9118', 'ne2k_pci', 'netfront', 'pcnet', 'rtl8139', 'spapr-vlan'],
  ...['virtio', 'vmxnet3'],
];
const VIDEO_MODELS = ['bochs', 'cirrus', 'gop', 'none', 'qxl', 'vga', 'virtio', 'vmvga', 'xen'];
const WATCHDOG_ACTIONS = ['none', 'pause', 'poweroff', 'reset'];
const TPM_MODELS = ['tpm-crb', 'tpm-tis'];
const TPM_VERSIONS = ['1.2', '2.0'];

/**
 * NOTE: without a version Nova adds no vTPM and reports nothing. Without a model it adds a TIS, which a
 * guest with another model has no driver for.
 */
function tpmProperties(tpm: NonNullable<DomainDescription['tpm']>): Record<string, string> {
  const version = known(TPM_VERSIONS, tpm.version);
  const model = known(TPM_MODELS, tpm.model);
  return version === null || model === null ? {} : { hw_tpm_version: version, hw_tpm_model: model };
}

/** Nova has one model for both of libvirt's virtio variants. */
function plainVirtio(model: string | null): string | null {
  if (model === 'virtio-transitional' || model === 'virtio-non-transitional') return 'virtio';
  return model;
}

function known(values: readonly string[], value: string | null): string | null {
  return value !== null && values.includes(value) ? value : null;
}
