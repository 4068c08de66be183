#!/usr/bin/env bash
# Sets up a bare Debian or Ubuntu machine to build, run and test virt-publish. Safe to run again.
#
# It installs packages from apt, uses the machine's libvirt or starts one, builds node_modules and dist/,
# and makes a tiny guest and a real S3 server (Ceph) on 127.0.0.1. $VIRT_PUBLISH_LAB/env lists all of it
# (default /var/lib/virt-publish-lab); scripts/teardown.sh removes it.
# LAB_S3_STORE=bluestore keeps objects on disk instead of in memory.
set -euo pipefail
# shellcheck source=scripts/lib/lab.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/lab.sh"

bring_lab_up
say "the lab is up; load its variables with: . $LAB/env"
