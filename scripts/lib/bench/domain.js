// Starts the guest that is published, the lab's tiny one, and checks it through its agent.
import { readFileSync, writeFileSync } from 'node:fs';
import { setTimeout as sleep } from 'node:timers/promises';
import { command } from './run.js';

const { LAB_KERNEL, LAB_INITRD } = process.env;

/**
 * Defines and starts the domain; resolves when its agent answers. It is emulated, because not every
 * machine has KVM; the measured work is on the host.
 */
export async function startDomain(name, disk, folder) {
  const path = `${folder}/${name}.xml`;
  writeFileSync(path, domainXml(name, disk));
  await removeDomain(name);
  await virsh('define', path);
  await virsh('start', name);
  await waitForAgent(name);
}

export async function removeDomain(name) {
  const all = (await virsh('list', '--all', '--name')).split('\n');
  if (!all.includes(name)) return;
  const running = (await virsh('list', '--name')).split('\n');
  if (running.includes(name)) await virsh('destroy', name);
  await virsh('undefine', name, '--managed-save');
}

/** Returns the pid of the domain's QEMU, which does the mirror. */
export function qemuPid(name) {
  return Number(readFileSync(`/run/libvirt/qemu/${name}.pid`, 'utf8'));
}

/** @throws Error if a contender did not restore the guest */
export async function assertUnchanged(name) {
  const info = await virsh('dominfo', name);
  if (!/State: +running/.test(info)) throw new Error(`${name} does not run: ${info}`);
  if (!/Persistent: +yes/.test(info)) throw new Error(`${name} is not persistent`);
  await waitForAgent(name);
}

async function waitForAgent(name) {
  const deadline = performance.now() + 60_000;
  const ping = ['qemu-agent-command', name, '{"execute":"guest-ping"}', '--timeout', '2'];
  for (;;) {
    try {
      return await virsh(...ping);
    } catch (error) {
      if (performance.now() > deadline) throw error;
      await sleep(100);
    }
  }
}

/** NOTE: without a terminal virsh starts no polkit agent, which complains if no polkit runs. */
function virsh(...args) {
  return command('setsid', '-w', 'virsh', '-q', ...args);
}

function domainXml(name, disk) {
  return `<domain type='qemu'>
  <name>${name}</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>${LAB_KERNEL}</kernel>
    <initrd>${LAB_INITRD}</initrd>
    <cmdline>console=ttyS0 root=/dev/vda quiet panic=1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2' cache='none'/><source file='${disk}'/><target dev='vda' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
`;
}
