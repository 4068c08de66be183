# Brings the lab up, and writes its variables to $LAB/env. Sourced by setup, teardown, demo and bench.
# shellcheck shell=bash

# shellcheck source=scripts/lib/say.sh
. "$(dirname "${BASH_SOURCE[0]}")/say.sh"
# shellcheck source=scripts/lib/packages.sh
. "$ROOT_DIR/scripts/lib/packages.sh"
# shellcheck source=scripts/lib/libvirt.sh
. "$ROOT_DIR/scripts/lib/libvirt.sh"
# shellcheck source=scripts/lib/guest.sh
. "$ROOT_DIR/scripts/lib/guest.sh"
# shellcheck source=scripts/lib/s3.sh
. "$ROOT_DIR/scripts/lib/s3.sh"

bring_lab_up() {
  prepare_lab
  exec 9>"$LAB/run/setup.lock"
  flock 9 # two set-ups at the same time would start each server twice
  install_packages
  install_node
  build_project
  start_libvirt
  build_guest
  provide_ceph
  start_s3
  write_lab_env
  exec 9>&-
}

write_lab_env() {
  {
    printf 'export VIRT_PUBLISH_LAB=%q\n' "$LAB"
    printf 'export LIBVIRT_DEFAULT_URI=%q\n' "$LIBVIRT_URI"
    printf 'export LAB_KERNEL=%q\nexport LAB_INITRD=%q\nexport LAB_ROOT_IMAGE=%q\n' "$GUEST_DIR"/{vmlinuz,initrd.img,root.raw}
    printf 'export LAB_S3_DIR=%q\n' "$S3_DIR"
    cat "$S3_DIR/env"
  } >"$LAB/env.partial"
  mv "$LAB/env.partial" "$LAB/env"
}
