# Debian and Ubuntu packages: what is missing is installed, what is there is left alone.
# shellcheck shell=bash

LAB_PACKAGES=(
  qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients tini # the hypervisor
  busybox-static cpio e2fsprogs kmod xz-utils zstd                      # the tiny guest
  debootstrap ca-certificates openssl curl                              # the S3 server
)

NODE_FLOOR=20.19

is_installed() { [ "$(dpkg-query -W -f='${db:Status-Status}' "$1" 2>/dev/null)" = installed ]; }

# candidate_of PACKAGE: the version apt would install, empty if there is none.
candidate_of() { apt-cache policy "$1" 2>/dev/null | sed -n 's/^  Candidate: //p' | grep -v '(none)' || true; }

at_least() { [ "$(printf '%s\n%s\n' "$2" "$1" | sort -V | head -n 1)" = "$2" ]; }

# apt_update: once a run, and only when something is to be fetched.
apt_update() {
  [ -n "${APT_UPDATED:-}" ] && return
  say 'apt-get update'
  quietly packages apt-get -q update
  APT_UPDATED=1
}

apt_install() {
  apt_update
  say "apt-get install $*"
  quietly packages env DEBIAN_FRONTEND=noninteractive apt-get -qy --no-install-recommends install "$@"
}

install_packages() {
  command -v apt-get >/dev/null || die 'this needs a Debian or Ubuntu machine (apt-get)'
  local missing=() package
  for package in "${LAB_PACKAGES[@]}"; do is_installed "$package" || missing+=("$package"); done
  # rclone is the judge that reads from S3 beside us; a machine may have one of its own.
  command -v rclone >/dev/null || missing+=(rclone)
  if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; else say 'packages: all there'; fi
}

# install_node: nodejs and npm from apt, where Node is missing or too old.
install_node() {
  local version=none candidate
  command -v node >/dev/null && version=$(node -p process.versions.node)
  if [ "$version" != none ] && at_least "$version" "$NODE_FLOOR" && command -v npm >/dev/null; then
    say "node $version"
    return
  fi
  apt_update
  candidate=$(candidate_of nodejs)
  at_least "${candidate:-0}" "$NODE_FLOOR" || die "Node $NODE_FLOOR or later is needed; found $version, and apt here offers ${candidate:-none}.
Install one from https://nodejs.org (or 'n', 'nvm', NodeSource), see that 'node' and 'npm' are on root's PATH, and run this again."
  apt_install nodejs npm
  say "node $(node -p process.versions.node)"
}

# build_project: node_modules as the lock file says, and dist/ from the sources.
build_project() {
  local stamp=node_modules/.package-lock.json
  cd "$ROOT_DIR" || exit
  if [ ! -e "$stamp" ] || [ package-lock.json -nt "$stamp" ]; then
    say 'npm ci'
    quietly npm npm ci --no-fund --no-audit
    touch "$stamp"
  fi
  say 'npm run build'
  quietly npm npm run build
}
