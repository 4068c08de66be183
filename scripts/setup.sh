#!/usr/bin/env bash
# Sets up a bare Debian or Ubuntu machine to build, run and test virt-publish. Safe to run again.
#
# Packages from apt, libvirt (the one of this machine where it runs), node_modules and dist/, a tiny
# guest, and a real S3 server (Ceph) on 127.0.0.1. What it made is listed in $VIRT_PUBLISH_LAB/env
# (default /var/lib/virt-publish-lab); scripts/teardown.sh takes it away again.
# LAB_S3_STORE=bluestore keeps objects on disk and not in memory.
set -euo pipefail
# shellcheck source=scripts/lib/lab.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/lab.sh"

bring_lab_up
say "the lab is up; its facts: . $LAB/env"
