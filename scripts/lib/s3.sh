# The S3 server: Ceph's radosgw, version 20 in a Debian chroot, or the distribution's own.
# shellcheck shell=bash

: "${LAB_S3_STORE:=memstore}" "${LAB_S3_SUITE:=forky}"
: "${LAB_CEPH_ROOT:=/var/cache/virt-publish/ceph}"

S3_DIR=$LAB/s3

has_ceph() {
  local tool
  for tool in ceph-mon ceph-osd radosgw radosgw-admin; do [ -x "$1/usr/bin/$tool" ] || return 1; done
}

# provide_ceph: sets CEPH_ROOT to the chroot to run Ceph in, "/" for the distribution's own packages.
# NOTE: Ceph 20 is the first version with conditional writes that answer as S3 does. Older versions
# ignore some conditions silently, and tests that need them fail.
provide_ceph() {
  CEPH_ROOT=$LAB_CEPH_ROOT
  if has_ceph "$CEPH_ROOT"; then
    say "Ceph: $("$ROOT_DIR/scripts/lib/chroot.sh" "$CEPH_ROOT" radosgw --version | cut -d' ' -f1-3) in $CEPH_ROOT"
  elif [ ! -e "$LAB/no-ceph-root" ] && build_ceph_root; then
    say "Ceph: built in $CEPH_ROOT, $(du -sm --one-file-system "$CEPH_ROOT" | cut -f1) MiB"
  else
    CEPH_ROOT=/
    touch "$LAB/no-ceph-root" # do not try again until teardown.sh
    rm -rf --one-file-system "$LAB_CEPH_ROOT.partial"
    say "Ceph: the chroot of Debian $LAB_S3_SUITE failed (see $(log_of ceph-root)); using this distribution's packages"
    has_ceph / || apt_install ceph-common ceph-mon ceph-osd radosgw
    say "Ceph: $(radosgw --version | cut -d' ' -f1-3)"
  fi
}

# build_ceph_root: builds a minimal Debian of a later suite from apt's mirror. The chroot gets its name when
# it is complete, so an incomplete one is never used.
build_ceph_root() (
  set -e
  [ "$(. /etc/os-release && printf '%s' "$ID")" = debian ] || exit 1
  root=$LAB_CEPH_ROOT.partial mirror=$(debian_mirror)
  script=/usr/share/debootstrap/scripts/$LAB_S3_SUITE
  [ -e "$script" ] || script=/usr/share/debootstrap/scripts/sid # this debootstrap is too old for the suite
  say "Ceph: building a chroot of Debian $LAB_S3_SUITE from $mirror (770 MB, 30 s or more)" >&2
  rm -rf --one-file-system "$root"
  mkdir -p "$root"
  exec >>"$(log_of ceph-root)" 2>&1 </dev/null
  debootstrap --variant=minbase --include=ca-certificates "$LAB_S3_SUITE" "$root" "$mirror" "$script" || exit 1
  printf '#!/bin/sh\nexit 101\n' >"$root/usr/sbin/policy-rc.d" # no daemon starts at install
  chmod +x "$root/usr/sbin/policy-rc.d"
  cp /etc/resolv.conf /etc/hosts "$root/etc/"
  # NOTE: a mirror that lags behind has an expired Release file. Its signature is still checked.
  printf 'deb [check-valid-until=no] %s %s main\n' "$mirror" "$LAB_S3_SUITE" >"$root/etc/apt/sources.list"
  "$ROOT_DIR/scripts/lib/chroot.sh" "$root" sh -ec '
    apt-get -q update
    apt-get -qy --no-install-recommends install ceph-mon ceph-osd radosgw
    apt-get clean' || exit 1
  mv "$root" "$LAB_CEPH_ROOT"
) 

debian_mirror() {
  local mirror
  # shellcheck disable=SC2016 # apt's own placeholder
  mirror=$(apt-get indextargets --format '$(REPO_URI)' 2>/dev/null | grep -v security | head -n 1)
  printf '%s' "${mirror:-http://deb.debian.org/debian}"
}

start_s3() {
  if "$ROOT_DIR/scripts/s3-server.sh" running "$S3_DIR"; then
    say "S3: running on $(s3_endpoint)"
    return
  fi
  say "S3: starting Ceph ($LAB_S3_STORE)"
  "$ROOT_DIR/scripts/s3-server.sh" stop "$S3_DIR"
  quietly s3 "$ROOT_DIR/scripts/s3-server.sh" start "$S3_DIR" "$LAB_S3_STORE" "$CEPH_ROOT"
  say "S3: started on $(s3_endpoint)"
}

s3_endpoint() { sed -n 's/^export S3_ENDPOINT=//p' "$S3_DIR/env"; }
