# The hypervisor: the machine's libvirtd if it answers, otherwise one of the lab, without systemd.
# shellcheck shell=bash

LIBVIRT_URI=qemu:///system

libvirt_answers() { timeout 20 virsh -q -c "$LIBVIRT_URI" version >/dev/null 2>&1; }

start_libvirt() {
  if libvirt_answers; then
    if process_is "$LAB/run/libvirtd.pid" libvirtd; then
      say 'libvirtd: the one of the lab is running'
      give_swtpm_its_files
    else
      say 'libvirtd: using the one of this machine'
    fi
    return
  fi
  if [ -d /run/systemd/system ]; then
    say 'systemctl start libvirtd'
    quietly libvirt systemctl start libvirtd
  else
    make_kvm_probe_cheap
    give_swtpm_its_files
    start_daemons
  fi
  local i
  for ((i = 0; i < 150; i++)); do
    libvirt_answers && return
    sleep 0.2
  done
  tail -n 15 "$(log_of libvirtd)" >&2
  die "libvirtd does not answer on $LIBVIRT_URI after 30 s; see $(log_of libvirtd)"
}

# NOTE: if /dev/kvm exists but QEMU's user may not open it, libvirt probes QEMU at every define, 10 s
# each. udev would give it to the group kvm.
make_kvm_probe_cheap() {
  [ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
  [ "$(stat -c %G:%a /dev/kvm)" = kvm:660 ] && return
  say '/dev/kvm: giving it to the group kvm'
  chgrp kvm /dev/kvm && chmod 660 /dev/kvm
}

# NOTE: libvirtd runs swtpm as the user tss if that user exists when it starts, otherwise as root. Files
# that swtpm made as root cannot be locked by a later swtpm that runs as tss.
give_swtpm_its_files() {
  local folder=/var/lib/swtpm-localca
  if [ -d "$folder" ] && getent passwd tss >/dev/null; then chown -R tss "$folder"; fi
}

# NOTE: process 1 of a container may not reap children of ended processes. A daemonized QEMU then stays a zombie that answers
# kill(pid, 0), and libvirt waits 75 s at each destroy. tini -s reaps them.
start_daemons() {
  mkdir -p /var/log/libvirt/qemu /run/libvirt
  say 'starting virtlogd and libvirtd (no systemd here)'
  process_is "$LAB/run/virtlogd.pid" virtlogd ||
    quietly libvirtd virtlogd --daemon --pid-file "$LAB/run/virtlogd.pid"
  setsid tini -s -- libvirtd --pid-file "$LAB/run/libvirtd.pid" >>"$(log_of libvirtd)" 2>&1 </dev/null 9>&- &
}

# stop_libvirt: stops the daemons that start_libvirt started, never the machine's libvirtd.
stop_libvirt() {
  process_is "$LAB/run/libvirtd.pid" libvirtd && say 'stopping libvirtd'
  stop_process "$LAB/run/libvirtd.pid" libvirtd 15
  stop_process "$LAB/run/virtlogd.pid" virtlogd 5
}

# lab_domains: prints the UUIDs of the domains with a disk below the lab's folder: those of the lab.
lab_domains() {
  local uuid
  for uuid in $(virsh -q -c "$LIBVIRT_URI" list --all --uuid); do
    virsh -q -c "$LIBVIRT_URI" dumpxml "$uuid" 2>/dev/null | grep -qF "'$LAB/" && printf '%s\n' "$uuid"
  done
  return 0
}

remove_lab_domains() {
  libvirt_answers || return 0
  local uuid
  for uuid in $(lab_domains); do
    say "removing domain $(virsh -q -c "$LIBVIRT_URI" domname "$uuid")"
    virsh -q -c "$LIBVIRT_URI" destroy "$uuid" >/dev/null 2>&1 || true # it may be off
    # a transient domain no longer exists now
    virsh -q -c "$LIBVIRT_URI" undefine "$uuid" --managed-save --snapshots-metadata --checkpoints-metadata --nvram >/dev/null 2>&1 || true
  done
}

remove_lab_loop_devices() {
  local device
  for device in $(losetup --noheadings --raw --output NAME,BACK-FILE | awk -v lab="$LAB/" 'index($2, lab) == 1 { print $1 }'); do
    say "detaching $device"
    losetup --detach "$device"
  done
}
