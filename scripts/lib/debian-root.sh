# A bare Debian in a folder, made by debootstrap from the mirror of this machine. Needs say.sh and s3.sh.
# shellcheck shell=bash disable=SC2034

declare -A SUITES=([12]=bookworm [13]=trixie)

# build_debian_root ROOT SUITE: replaces ROOT.
build_debian_root() {
  local root=$1 suite=$2 mirror
  command -v debootstrap >/dev/null || die 'this needs debootstrap: apt-get install debootstrap'
  mirror=$(debian_mirror)
  say "building a chroot of Debian $suite in $root from $mirror"
  rm -rf --one-file-system "$root" "$root.partial"
  mkdir -p "$root.partial"
  debootstrap --variant=minbase --include=ca-certificates "$suite" "$root.partial" "$mirror" >"$root.log" 2>&1 ||
    die "debootstrap failed; see $root.log"
  printf 'deb [check-valid-until=no] %s %s main\n' "$mirror" "$suite" >"$root.partial/etc/apt/sources.list"
  printf '#!/bin/sh\nexit 101\n' >"$root.partial/usr/sbin/policy-rc.d" # no daemon starts at install
  chmod +x "$root.partial/usr/sbin/policy-rc.d"
  mv "$root.partial" "$root"
}
