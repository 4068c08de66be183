#!/usr/bin/env bash
# Runs a command in a chroot, in a mount namespace of its own, so nothing stays mounted.
# usage: [BIND=DIR[:DIR...]] chroot.sh ROOT COMMAND [ARGUMENT...]   (BIND: folders to mount at the same path)
set -euo pipefail
root=$(realpath "$1")
shift
if [ "$root" = / ]; then
  cd / # as in a chroot: Debian's Ceph 18 searches its classes relative to the working directory
  exec "$@"
fi
export CHROOT_ROOT=$root
# shellcheck disable=SC2016 # the inner shell expands these
exec unshare --mount --propagation private bash -ec '
  mount -t proc proc "$CHROOT_ROOT/proc"
  mount --bind /dev "$CHROOT_ROOT/dev"
  if [ -d /dev/shm ]; then mkdir -p "$CHROOT_ROOT/dev/shm"; mount --bind /dev/shm "$CHROOT_ROOT/dev/shm"; fi
  IFS=:
  for dir in ${BIND:-}; do
    mkdir -p "$dir" "$CHROOT_ROOT$dir"
    mount --bind "$dir" "$CHROOT_ROOT$dir"
  done
  unset IFS
  exec chroot "$CHROOT_ROOT" /usr/bin/env -i HOME=/root LANG=C.UTF-8 DEBIAN_FRONTEND=noninteractive \
    PATH=/usr/sbin:/usr/bin:/sbin:/bin "$@"' bash "$@"
