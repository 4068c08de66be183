# The hypervisor: the machine's own libvirtd where it answers, else one of ours without systemd.
# shellcheck shell=bash

LIBVIRT_URI=qemu:///system

libvirt_answers() { timeout 20 virsh -q -c "$LIBVIRT_URI" version >/dev/null 2>&1; }

start_libvirt() {
  if libvirt_answers; then
    if process_is "$LAB/run/libvirtd.pid" libvirtd; then
      say 'libvirtd: ours is running'
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

# NOTE: where /dev/kvm is there but closed to QEMU's user, libvirt probes QEMU again at every define,
# 10 s each. Giving it to the group is what udev would have done.
make_kvm_probe_cheap() {
  [ -c /dev/kvm ] && getent group kvm >/dev/null || return 0
  [ "$(stat -c %G:%a /dev/kvm)" = kvm:660 ] && return
  say '/dev/kvm: given to the group kvm'
  chgrp kvm /dev/kvm && chmod 660 /dev/kvm
}

# NOTE: libvirtd runs swtpm as the user tss where that is there when it starts, else as root: what a
# libvirtd made that was started before swtpm was installed, the next one's swtpm could not lock.
give_swtpm_its_files() {
  local folder=/var/lib/swtpm-localca
  if [ -d "$folder" ] && getent passwd tss >/dev/null; then chown -R tss "$folder"; fi
}

# NOTE: process 1 of a container may not reap orphans, and a QEMU that daemonized stays a zombie that
# still answers kill(pid, 0): libvirt then waits 75 s at each destroy. tini -s takes the orphans in.
start_daemons() {
  mkdir -p /var/log/libvirt/qemu /run/libvirt
  say 'starting virtlogd and libvirtd (no systemd here)'
  process_is "$LAB/run/virtlogd.pid" virtlogd ||
    quietly libvirtd virtlogd --daemon --pid-file "$LAB/run/virtlogd.pid"
  setsid tini -s -- libvirtd --pid-file "$LAB/run/libvirtd.pid" >>"$(log_of libvirtd)" 2>&1 </dev/null 9>&- &
}

# stop_libvirt: only what start_libvirt started; a libvirtd of the machine's own is left alone.
stop_libvirt() {
  process_is "$LAB/run/libvirtd.pid" libvirtd && say 'stopping libvirtd'
  stop_process "$LAB/run/libvirtd.pid" libvirtd 15
  stop_process "$LAB/run/virtlogd.pid" virtlogd 5
}

# lab_domains: uuids of the domains that have a disk below the lab's folder, which makes them ours.
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
    # a transient domain is gone by now
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
