#!/usr/bin/env bash
# Sets up a bare machine, publishes a running guest live and cold, to a directory and to an S3 bucket, and
# boots the published image. Safe to run again; removes its guests at the end.
set -euo pipefail
# shellcheck source=scripts/lib/lab.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/lab.sh"
# shellcheck source=scripts/lib/demo-domain.sh
. "$ROOT_DIR/scripts/lib/demo-domain.sh"

BUCKET=vp-demo-images

main() {
  title 'Setting up'
  bring_lab_up
  # shellcheck source=/dev/null
  . "$LAB/env"
  export AWS_ENDPOINT_URL_S3=$S3_ENDPOINT VIRT_PUBLISH_STATE_DIR=$LAB/demo/state
  trap remove_demo EXIT
  remove_demo
  mkdir -m 711 "$LAB/demo" "$LAB/demo/state"
  make_bucket

  title 'Starting a guest'
  start_demo_domain web01
  ask_guest web01 'echo "hello from web01" > /data/greeting; sync' >/dev/null

  title 'Publishing live, into a directory, without a configuration'
  publish vp-demo-web01
  title 'Publishing cold: the guest is saved, its disk cloned or read, and it is started again'
  publish vp-demo-web01 --mode cold --compress zstd
  title 'Publishing live, into an S3 bucket, with an alias, a tag and a property'
  publish vp-demo-web01 --registry "s3://$BUCKET/golden" --name web --alias web/latest --tag demo --property os_distro=linux
  virsh -q list | grep vp-demo

  title 'The images in both registries'
  virt_publish list
  virt_publish list --registry "s3://$BUCKET/golden"

  title 'Booting the published image'
  virt_publish pull web/latest "$LAB/demo/pulled.qcow2" --registry "s3://$BUCKET/golden"
  start_demo_domain copy "$LAB/demo/pulled.qcow2"
  printf 'the new guest says: '
  ask_guest copy 'cat /data/greeting'
  title "Done in $SECONDS s, with real libvirt, QEMU, guest and S3 server."
}

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

virt_publish() {
  printf '\033[2m$ virt-publish %s\033[0m\n' "$*"
  node "$ROOT_DIR/dist/cli/main.js" "$@"
}

publish() { virt_publish snapshot "$@"; }

# NOTE: rclone 1.60 (Debian 12) fails if AWS_CA_BUNDLE is set, also on plain http.
make_bucket() {
  quietly demo env -u AWS_CA_BUNDLE RCLONE_CONFIG=/dev/null RCLONE_S3_PROVIDER=Ceph RCLONE_S3_ENV_AUTH=true \
    RCLONE_S3_ENDPOINT="$S3_ENDPOINT" rclone mkdir ":s3:$BUCKET"
}

remove_demo() {
  remove_demo_domains
  rm -rf --one-file-system "$LAB/demo"
}

main
