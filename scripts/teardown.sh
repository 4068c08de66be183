#!/usr/bin/env bash
# Stops what scripts/setup.sh started and removes the lab: its domains, loop devices, servers, files.
#
# usage: teardown.sh [--all]
#   Packages, dist/ and the chroot with Ceph (/var/cache/virt-publish) stay, because they are slow to
#   build. --all removes that chroot and those of test-debian.sh too. A libvirtd that ran before the lab
#   keeps running.
set -euo pipefail
# shellcheck source=scripts/lib/lab.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/lab.sh"

[ "$(id -u)" = 0 ] || die "teardown.sh needs root: sudo $0"
if [ -d "$LAB" ]; then
  remove_lab_domains
  remove_lab_loop_devices
  say 'stopping the S3 server'
  "$ROOT_DIR/scripts/s3-server.sh" stop "$S3_DIR"
  stop_libvirt
  rm -rf --one-file-system "$LAB"
  say "removed $LAB"
else
  say "no lab in $LAB"
fi
if [ "${1:-}" = --all ]; then
  rm -rf --one-file-system "$LAB_CEPH_ROOT" /var/cache/virt-publish/debian-{12,13}{,.log}
  say "removed $LAB_CEPH_ROOT and the chroots of test-debian.sh"
fi
