// The XML of a test domain. Pure.
import type { TestDisk } from './disks.ts';

export interface DomainXmlOptions {
  name: string;
  uuid: string;
  dir: string;
  kernel: string;
  initrd: string;
  disks: readonly TestDisk[];
  /** False: no channel. `absent`: a channel, but no agent in the guest. */
  agent: boolean | 'absent';
  title?: string;
  /** XML inside `<metadata>`, with its own namespace. */
  metadata?: string;
  /** VNC allows eight characters at most. */
  vncPassword?: string;
  mac?: string;
  memoryMib?: number;
  /** Marks all disks as shareable. */
  shareable?: boolean;
  /** A PC with UEFI, whose variables are in `nvram.fd` of `dir`; BIOS if left out. */
  uefi?: boolean;
  /** More XML inside `<devices>`. */
  devices?: string;
  /** XML of `<seclabel>` elements; libvirt's own label if left out. */
  seclabel?: string;
}

/** Returns the XML of an emulated PC, since not every test host has KVM. */
export function domainXml(options: DomainXmlOptions): string {
  const { dir, disks } = options;
  // The self-tests of the kernel's ciphers take a fifth of the boot.
  const commandLine = `console=ttyS0 root=/dev/vda quiet panic=1 cryptomgr.notests${
    options.agent === 'absent' ? ' tiny.agent=off' : ''
  }`;
  return `<domain type='qemu'>
  <name>${escapeXml(options.name)}</name>
  <uuid>${options.uuid}</uuid>
  ${options.title === undefined ? '' : `<title>${escapeXml(options.title)}</title>`}
  ${options.metadata === undefined ? '' : `<metadata>${options.metadata}</metadata>`}
  <memory unit='MiB'>${options.memoryMib ?? 96}</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    ${options.uefi === true ? uefiXml(`${dir}/nvram.fd`) : ''}
    <kernel>${options.kernel}</kernel>
    <initrd>${options.initrd}</initrd>
    <cmdline>${commandLine}</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    ${disks.map((disk) => diskXml(disk, options.shareable)).join('\n    ')}
    ${options.agent === false ? '' : AGENT_CHANNEL}
    ${options.mac === undefined ? '' : interfaceXml(options.mac)}
    ${options.vncPassword === undefined ? '' : graphicsXml(options.vncPassword)}
    <serial type='file'><source path='${escapeXml(dir)}/console.log'/></serial>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
    ${options.devices ?? ''}
  </devices>
  ${options.seclabel ?? ''}
</domain>
`;
}

const UEFI_DIR = '/usr/share/OVMF';

function uefiXml(nvram: string): string {
  return `<loader readonly='yes' type='pflash'>${UEFI_DIR}/OVMF_CODE_4M.fd</loader>
    <nvram template='${UEFI_DIR}/OVMF_VARS_4M.fd'>${nvram}</nvram>`;
}

const AGENT_CHANNEL =
  "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>";

function diskXml(disk: TestDisk, shareable = false): string {
  if (disk.foreignSource !== undefined) {
    const { type, xml } = disk.foreignSource;
    return `<disk type='${type}' device='disk'>${xml}<target dev='${disk.target}' bus='virtio'/></disk>`;
  }
  const source = `${disk.type === 'block' ? 'dev' : 'file'}='${escapeXml(disk.path)}'`;
  return `<disk type='${disk.type}' device='disk'><driver name='qemu' type='${disk.format}'/><source ${source}/><target dev='${disk.target}' bus='virtio'/>${shareable ? '<shareable/>' : ''}</disk>`;
}

function interfaceXml(mac: string): string {
  return `<interface type='user'><mac address='${mac}'/><model type='virtio'/><rom enabled='no'/></interface>`;
}

function graphicsXml(password: string): string {
  return `<graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='${escapeXml(password)}'/>`;
}

function escapeXml(text: string): string {
  return text
    .replaceAll('&', '&amp;')
    .replaceAll('<', '&lt;')
    .replaceAll("'", '&apos;')
    .replaceAll('\t', '&#9;');
}
