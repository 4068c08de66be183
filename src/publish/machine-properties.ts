// The machine that an image was taken from, in Glance's property names. Pure.
import type { DomainDescription } from '../libvirt/xml/domain-xml.ts';

/**
 * What a guest needs to find its hardware again. Only values that Nova knows: it refuses to boot an
 * image with any other, as for a bus that is QEMU's alone.
 * @see https://docs.openstack.org/glance/latest/admin/useful-image-properties.html
 * @see nova/objects/fields.py, where the values are listed
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
 * NOTE: Nova goes by the version: without it there is no vTPM, and nothing is said; without a model
 * there is a TIS, which a guest with another one has no driver for.
 */
function tpmProperties(tpm: NonNullable<DomainDescription['tpm']>): Record<string, string> {
  const version = known(TPM_VERSIONS, tpm.version);
  const model = known(TPM_MODELS, tpm.model);
  return version === null || model === null ? {} : { hw_tpm_version: version, hw_tpm_model: model };
}

/** The two halves that libvirt splits virtio into are one model to Nova. */
function plainVirtio(model: string | null): string | null {
  if (model === 'virtio-transitional' || model === 'virtio-non-transitional') return 'virtio';
  return model;
}

function known(values: readonly string[], value: string | null): string | null {
  return value !== null && values.includes(value) ? value : null;
}
