# Starts the demo's guests on overlays, runs commands in them through their agent, and removes them.
# shellcheck shell=bash

DEMO_PREFIX=vp-demo-

# NOTE: on a terminal virsh starts a polkit agent, which complains if no polkit runs. setsid takes the
# terminal away.
virsh() { setsid -w virsh "$@"; }

# start_demo_domain NAME [DISK]: starts the tiny guest on DISK (default: a new overlay on its root image).
start_demo_domain() {
  local name=$DEMO_PREFIX$1 disk=${2:-$LAB/demo/$1.qcow2}
  [ -e "$disk" ] || qemu-img create -q -f qcow2 -b "$LAB_ROOT_IMAGE" -F raw "$disk"
  cat >"$LAB/demo/$1.xml" <<XML
<domain type='qemu'>
  <name>$name</name>
  <memory unit='MiB'>128</memory>
  <vcpu>1</vcpu>
  <os>
    <type arch='x86_64' machine='pc'>hvm</type>
    <kernel>$LAB_KERNEL</kernel>
    <initrd>$LAB_INITRD</initrd>
    <cmdline>console=ttyS0 root=/dev/vda quiet panic=1</cmdline>
  </os>
  <features><acpi/></features>
  <devices>
    <disk type='file' device='disk'><driver name='qemu' type='qcow2'/><source file='$disk'/><target dev='vda' bus='virtio'/></disk>
    <channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>
    <controller type='usb' model='none'/>
    <memballoon model='none'/>
  </devices>
</domain>
XML
  virsh -q define "$LAB/demo/$1.xml"
  virsh -q start "$name"
  wait_for_agent "$name"
  say "guest $name is up, its agent answers"
}

wait_for_agent() {
  local i
  for ((i = 0; i < 300; i++)); do
    virsh -q qemu-agent-command "$1" '{"execute":"guest-ping"}' --timeout 2 >/dev/null 2>&1 && return
    sleep 0.2
  done
  die "the agent of $1 does not answer after 60 s"
}

# ask_guest NAME SCRIPT: runs SCRIPT in the guest and prints its output.
ask_guest() {
  local name=$DEMO_PREFIX$1 script=$2 command pid answer i
  command=$(SCRIPT=$script node -p 'JSON.stringify({ execute: "guest-exec", arguments: { path: "/bin/sh", arg: ["-c", process.env.SCRIPT], "capture-output": true } })')
  pid=$(virsh -q qemu-agent-command "$name" "$command" | grep -o '[0-9]*')
  for ((i = 0; i < 50; i++)); do
    answer=$(virsh -q qemu-agent-command "$name" "{\"execute\":\"guest-exec-status\",\"arguments\":{\"pid\":$pid}}")
    case $answer in *'"exited":true'*) break ;; esac
    sleep 0.1
  done
  ANSWER=$answer node -e 'process.stdout.write(Buffer.from(JSON.parse(process.env.ANSWER).return["out-data"] ?? "", "base64").toString())'
}

remove_demo_domains() {
  local name
  for name in $(virsh -q -c "$LIBVIRT_URI" list --all --name | grep "^$DEMO_PREFIX" || true); do
    virsh -q -c "$LIBVIRT_URI" destroy "$name" >/dev/null 2>&1 || true
    virsh -q -c "$LIBVIRT_URI" undefine "$name" --managed-save
  done
}
