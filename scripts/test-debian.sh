#!/usr/bin/env bash
# Runs the tests in a bare Debian 12 or 13: a chroot with a libvirtd and a lab of its own.
#
# usage: test-debian.sh [--again] 12|13 [COMMAND [ARGUMENT...]]
#   COMMAND runs in a copy of this work tree (default: scripts/test.sh). --again keeps the chroot of the
#   last run. Otherwise a new one is built, so a package that setup.sh does not install is missing.
set -euo pipefail
# shellcheck source=scripts/lib/say.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/say.sh"
# shellcheck source=scripts/lib/s3.sh
. "$ROOT_DIR/scripts/lib/s3.sh"
# shellcheck source=scripts/lib/debian-root.sh
. "$ROOT_DIR/scripts/lib/debian-root.sh"

INSIDE=/srv/virt-publish # tests run the command as the user nobody, which may not enter /root

main() {
  local again=
  if [ "${1:-}" = --again ]; then again=1 && shift; fi
  local suite=${SUITES[${1:-none}]:-}
  [ -n "$suite" ] || { sed -n '4,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2; }
  [ "$(id -u)" = 0 ] || die "test-debian.sh needs root for a chroot: sudo $0"
  local root=/var/cache/virt-publish/debian-$1
  shift
  [ $# -gt 0 ] || set -- scripts/test.sh
  if [ -z "$again" ] || [ ! -d "$root" ]; then build_debian_root "$root" "$suite"; fi
  copy_work_tree "$root$INSIDE"
  run_inside "$root" "$@"
}

# copy_work_tree FOLDER: copies the files that git tracks or would add; keeps node_modules in FOLDER.
copy_work_tree() {
  mkdir -p "$1"
  find "$1" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
  git -C "$ROOT_DIR" ls-files -z --cached --others --exclude-standard --deduplicate |
    tar -C "$ROOT_DIR" --null --files-from=- --ignore-failed-read -cf - | tar -C "$1" -xf -
}

# run_inside ROOT COMMAND...: runs COMMAND in mount and process namespaces of its own. It does not see
# the machine's libvirtd, and every daemon of the chroot's lab ends with it.
# NOTE: pivot_root instead of chroot: libvirt enters the mount namespace of a QEMU to make device nodes,
# and from a chroot it would make them in the machine's /dev. /dev is new and has no kvm, because
# setup.sh would give the machine's /dev/kvm to a group of the chroot.
run_inside() {
  local root=$1
  shift
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  # this machine's certificate authorities: the npm registry may be a local mirror
  if [ -e /etc/ssl/certs/ca-certificates.crt ]; then cp /etc/ssl/certs/ca-certificates.crt "$root/etc/ssl/certs/"; fi
  # shellcheck disable=SC2016 # the inner shell expands these
  unshare --mount --pid --fork --kill-child --propagation private bash -ec '
    root=$1 inside=$2
    shift 2
    mount --rbind "$root" "$root"
    mount -t proc proc "$root/proc"
    mount -t sysfs -o ro sysfs "$root/sys"
    mount -t tmpfs tmpfs "$root/run"
    mount -t tmpfs -o mode=755 tmpfs "$root/dev"
    cp -a /dev/null /dev/zero /dev/full /dev/random /dev/urandom /dev/tty /dev/loop-control "$root/dev/"
    for ((i = 0; i < 64; i++)); do mknod -m 600 "$root/dev/loop$i" b 7 "$i"; done
    for name in fd stdin stdout stderr; do cp -a "/dev/$name" "$root/dev/"; done
    ln -s pts/ptmx "$root/dev/ptmx"
    mkdir "$root/dev/pts" "$root/dev/shm"
    mount -t devpts -o newinstance,ptmxmode=666,mode=620,gid=5 devpts "$root/dev/pts"
    mount -t tmpfs -o mode=1777 tmpfs "$root/dev/shm"
    if [ -d /var/cache/virt-publish/ceph ]; then
      mkdir -p "$root/var/cache/virt-publish/ceph"
      mount --bind /var/cache/virt-publish/ceph "$root/var/cache/virt-publish/ceph"
    fi
    cd "$root"
    mkdir -p old-root
    pivot_root . old-root
    umount -l old-root
    status=0
    /usr/bin/env -i HOME=/root LANG=C.UTF-8 TERM="${TERM:-dumb}" \
      NODE_EXTRA_CA_CERTS=/etc/ssl/certs/ca-certificates.crt PATH=/usr/sbin:/usr/bin:/sbin:/bin \
      bash -c "cd \"\$0\" && exec \"\$@\"" "$inside" "$@" || status=$?
    "$inside/scripts/teardown.sh" >/dev/null || true # loop devices belong to no namespace
    exit "$status"
  ' bash "$root" "$INSIDE" "$@"
}

main "$@"
