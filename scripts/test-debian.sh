#!/usr/bin/env bash
# Runs the tests in a bare Debian 12 or 13: a chroot with a libvirtd and a lab of its own.
#
# usage: test-debian.sh [--again] 12|13 [COMMAND [ARGUMENT...]]
#   COMMAND runs in a copy of this work tree (scripts/test.sh if none). --again keeps what the last run
#   installed; else the chroot is made anew, so that a package which setup.sh forgets is missing.
set -euo pipefail
# shellcheck source=scripts/lib/say.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/say.sh"
# shellcheck source=scripts/lib/s3.sh
. "$ROOT_DIR/scripts/lib/s3.sh"
# shellcheck source=scripts/lib/debian-root.sh
. "$ROOT_DIR/scripts/lib/debian-root.sh"

INSIDE=/srv/virt-publish # tests run the command as nobody, who may not enter /root

main() {
  local again=
  if [ "${1:-}" = --again ]; then again=1 && shift; fi
  local suite=${SUITES[${1:-none}]:-}
  [ -n "$suite" ] || { sed -n '4,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2; }
  [ "$(id -u)" = 0 ] || die "this needs root, for a chroot: sudo $0"
  local root=/var/cache/virt-publish/debian-$1
  shift
  [ $# -gt 0 ] || set -- scripts/test.sh
  if [ -z "$again" ] || [ ! -d "$root" ]; then build_debian_root "$root" "$suite"; fi
  copy_work_tree "$root$INSIDE"
  run_inside "$root" "$@"
}

# copy_work_tree FOLDER: what git tracks or would add; node_modules there is kept.
copy_work_tree() {
  mkdir -p "$1"
  find "$1" -mindepth 1 -maxdepth 1 ! -name node_modules -exec rm -rf {} +
  git -C "$ROOT_DIR" ls-files -z --cached --others --exclude-standard --deduplicate |
    tar -C "$ROOT_DIR" --null --files-from=- --ignore-failed-read -cf - | tar -C "$1" -xf -
}

# run_inside ROOT COMMAND...: in name spaces of its own for mounts and processes, so that the libvirtd
# of the machine is neither seen nor touched, and every daemon of the chroot's lab ends with the run.
# NOTE: pivot_root, not chroot: libvirt enters the mount name space of a QEMU to make device nodes, and
# from a chroot it would make them in the machine's /dev. /dev is a new one, without kvm: set-up would
# give that of the machine to a group of the chroot.
run_inside() {
  local root=$1
  shift
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  # the authorities of this machine: the npm registry may be one of its site
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
    "$inside/scripts/teardown.sh" >/dev/null || true # loop devices are not of a name space
    exit "$status"
  ' bash "$root" "$INSIDE" "$@"
}

main "$@"
