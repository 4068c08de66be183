#!/usr/bin/env bash
# Sets up a bare machine and shows the main job: a running guest is published, live and cold, to a
# directory and to an S3 bucket; the published image boots. Safe to run again; removes its guests.
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

  title 'A guest is running'
  start_demo_domain web01
  ask_guest web01 'echo "hello from web01" > /data/greeting; sync' >/dev/null

  title 'Published live, into a directory: nothing is configured'
  publish vp-demo-web01
  title 'Published cold: the guest sleeps for the moment'
  publish vp-demo-web01 --mode cold --compress zstd
  title 'Published live, into an S3 bucket, with an alias, a tag and a property'
  publish vp-demo-web01 --registry "s3://$BUCKET/golden" --name web --alias web/latest --tag demo --property os_distro=linux
  virsh -q list | grep vp-demo

  title 'What the registries hold'
  virt_publish list
  virt_publish list --registry "s3://$BUCKET/golden"

  title 'The published image boots'
  virt_publish pull web/latest "$LAB/demo/pulled.qcow2" --registry "s3://$BUCKET/golden"
  start_demo_domain copy "$LAB/demo/pulled.qcow2"
  printf 'the new guest says: '
  ask_guest copy 'cat /data/greeting'
  title "Done in $SECONDS s. All of it was real: libvirt, QEMU, the guest, the S3 server."
}

title() { printf '\n\033[1m%s\033[0m\n' "$*"; }

virt_publish() {
  printf '\033[2m$ virt-publish %s\033[0m\n' "$*"
  node "$ROOT_DIR/dist/cli/main.js" "$@"
}

publish() { virt_publish snapshot "$@"; }

# NOTE: rclone 1.60 (Debian 12) fails where AWS_CA_BUNDLE is set, also on plain http.
make_bucket() {
  quietly demo env -u AWS_CA_BUNDLE RCLONE_CONFIG=/dev/null RCLONE_S3_PROVIDER=Ceph RCLONE_S3_ENV_AUTH=true \
    RCLONE_S3_ENDPOINT="$S3_ENDPOINT" rclone mkdir ":s3:$BUCKET"
}

remove_demo() {
  remove_demo_domains
  rm -rf --one-file-system "$LAB/demo"
}

main
