#!/usr/bin/env bash
# Tests the Debian package in a bare Debian 12 and 13 without Node: install, upgrade during runs, remove, purge.
#
# usage: test-package-deb.sh [--again] [12|13...]   (both if none; --again keeps the bare Debian of the last run)
# needs root, dist (npm run build), dpkg-dev, binutils, debootstrap and the lab (scripts/setup.sh): the runs in
# the chroot work on a guest of the machine's libvirtd, through its socket. No daemon starts in the chroot.
set -euo pipefail
# shellcheck source=scripts/lib/say.sh
. "$(dirname "$(realpath "${BASH_SOURCE[0]}")")/lib/say.sh"
# shellcheck source=scripts/lib/s3.sh
. "$ROOT_DIR/scripts/lib/s3.sh"
# shellcheck source=scripts/lib/debian-root.sh
. "$ROOT_DIR/scripts/lib/debian-root.sh"
# shellcheck source=scripts/lib/demo-domain.sh
. "$ROOT_DIR/scripts/lib/demo-domain.sh"

DEMO_PREFIX=vp-package-
DOMAIN=${DEMO_PREFIX}web
OLD=0.0.1 NEXT=0.0.2 # and the version of this work tree, which is later
BUILDS=usr/lib/virt-publish/builds
# Seen by QEMU outside and by the run inside at one path.
WORK=$LAB/package

main() {
  local again='' suite
  if [ "${1:-}" = --again ]; then again=1 && shift; fi
  [ $# -gt 0 ] || set -- 12 13
  for suite in "$@"; do
    [ -n "${SUITES[$suite]:-}" ] || { sed -n '4,6s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2 && exit 2; }
  done
  [ "$(id -u)" = 0 ] || die "this needs root, for chroots: sudo $0"
  [ -e "$LAB/env" ] || die 'this needs the lab: scripts/setup.sh'
  # shellcheck source=/dev/null
  . "$LAB/env"
  LIBVIRT_URI=$LIBVIRT_DEFAULT_URI
  trap clean_up EXIT
  build_packages
  for suite in "$@"; do test_suite "$suite" "$again"; done
  say 'all passed'
}

clean_up() {
  if [ -n "${FEEDER:-}" ]; then kill "$FEEDER" 2>/dev/null || :; fi # it ends with its import
  remove_demo_domains
  rm -rf --one-file-system "$WORK" "${DEBS:-}"
}

build_packages() {
  DEBS=$(mktemp -d)
  say 'building the package, in three versions'
  "$ROOT_DIR/scripts/package-deb.sh" --output "$DEBS" --fast --version "$OLD" >/dev/null
  "$ROOT_DIR/scripts/package-deb.sh" --output "$DEBS" --fast --version "$NEXT" >/dev/null
  local deb
  deb=$("$ROOT_DIR/scripts/package-deb.sh" --output "$DEBS" | tail -n 1)
  VERSION=$(dpkg-deb -f "$deb" Version)
  say "the package has $(($(stat -c %s "$deb") / 1048576)) MiB, installed $(($(dpkg-deb -f "$deb" Installed-Size) / 1024)) MiB"
}

test_suite() {
  local base=/var/cache/virt-publish/bare-$1
  ROOT=/var/cache/virt-publish/package-$1
  if [ -z "$2" ] || [ ! -d "$base" ]; then
    build_debian_root "$base" "${SUITES[$1]}"
    ROOT=$base inside apt-get -q update >/dev/null
  fi
  say "Debian $1: a fresh copy"
  rm -rf --one-file-system "$ROOT" "$WORK"
  cp -a --reflink=auto "$base" "$ROOT"
  cp "$DEBS"/*.deb "$ROOT/root/"
  cp /etc/resolv.conf /etc/hosts "$ROOT/etc/"
  mkdir -m 711 "$WORK" "$WORK/work"
  check_install
  check_commands
  check_plain_purge
  start_guest
  check_upgrade_in_progress
  check_guard_after_upgrade
  check_remove_in_progress
  check_purge_with_pending_run
  remove_demo_domains
  check_units
  check_lintian
}

inside() { BIND=/run/libvirt:/run/virt-publish:$WORK "$ROOT_DIR/scripts/lib/chroot.sh" "$ROOT" "$@"; }

apt() { inside apt-get -qy --no-install-recommends "$@" >"$ROOT.apt" 2>&1 || { cat "$ROOT.apt" >&2 && return 1; }; }

install_version() { apt install "/root/virt-publish_$1_amd64.deb"; }

vp() { inside virt-publish "$@"; }

# expect WHAT COMMAND...: stops the test if COMMAND fails.
expect() {
  local what=$1
  shift
  if "$@" >"$ROOT.out" 2>&1; then say "  $what"; else cat "$ROOT.out" >&2 && die "not so: $what"; fi
}

# said TEXT: succeeds if the last output of apt contains TEXT.
said() { grep -qF -- "$1" "$ROOT.apt" || { cat "$ROOT.apt" >&2 && return 1; }; }

not() { ! "$@"; }

check_install() {
  say 'install'
  expect 'the bare system has no Node' not inside sh -c 'command -v node || command -v nodejs'
  expect 'apt installs the package' install_version "$VERSION"
  expect 'the system has no Node of its own afterwards' not inside sh -c 'command -v node || command -v nodejs'
  expect 'its files are as packed' inside dpkg --verify virt-publish
  expect 'recovery at boot is enabled' test -L "$ROOT/etc/systemd/system/multi-user.target.wants/virt-publish-recover.service"
}

check_commands() {
  say 'commands'
  expect '--version' test "$(vp --version)" = "${VERSION/\~/-}"
  expect '--help' grep -q snapshot <(vp --help)
  expect 'config show reads /etc/virt-publish/config.json' grep -q /etc/virt-publish/config.json <(vp config show)
  expect 'doctor finds libvirt' grep -Eq '^ok +libvirt' <(vp doctor)
  local cut
  cut=$(env BIND= "$ROOT_DIR/scripts/lib/chroot.sh" "$ROOT" sh -c 'virt-publish doctor 2>&1; echo "exit $?"') || true
  expect 'doctor fails cleanly without libvirt' grep -Eq '^failure +libvirt' <<<"$cut"
  expect 'with an exit code' not grep -q 'exit 0' <<<"$cut"
  expect 'and without a stack trace' not grep -q '^ *at ' <<<"$cut"
  head -c 8M /dev/urandom >"$ROOT/root/disk.raw"
  expect 'import into a directory' vp import /root/disk.raw --name disk --registry /root/registry
  expect 'list' grep -q disk <(vp list --registry /root/registry)
  expect 'verify' vp verify disk --registry /root/registry
  expect 'pull' vp pull disk /root/pulled.raw --registry /root/registry
  expect 'what was pulled is what was imported' cmp "$ROOT/root/disk.raw" "$ROOT/root/pulled.raw"
  local shell file
  for file in bash-completion/completions/virt-publish zsh/vendor-completions/_virt-publish fish/vendor_completions.d/virt-publish.fish; do
    [ ! -e "$ROOT/usr/share/$file" ] || expect "completions: $file" test -s "$ROOT/usr/share/$file"
  done
  if [ -e "$ROOT/usr/share/man/man1/virt-publish.1.gz" ]; then
    apt install man-db
    expect 'man virt-publish' grep -q 'virt-publish' <(inside man virt-publish)
  fi
}

check_plain_purge() {
  say 'remove and purge with nothing to keep'
  expect 'remove' apt remove virt-publish
  expect 'the configuration stays' test -e "$ROOT/etc/virt-publish/config.json"
  expect 'no build stays' not test -e "$ROOT/usr/lib/virt-publish"
  touch "$ROOT/etc/virt-publish/environment"
  expect 'purge' apt purge virt-publish
  local folder
  for folder in etc usr/lib var/lib usr/share/doc; do
    expect "nothing stays in /$folder" not test -e "$ROOT/$folder/virt-publish"
  done
  expect 'nor an enabled unit' not test -L "$ROOT/etc/systemd/system/multi-user.target.wants/virt-publish-recover.service"
}

start_guest() {
  local disk=$WORK/web.qcow2
  qemu-img convert -O qcow2 "$LAB_ROOT_IMAGE" "$disk"
  qemu-img resize -q "$disk" 2G
  # enough that a mirror at 1 MiB/s can be stopped in its middle
  qemu-io -c 'write -q -P 0x5a 1G 16M' "$disk"
  mkdir -m 711 -p "$LAB/demo"
  start_demo_domain web "$disk"
}

# start_snapshot: a run that is stopped in the middle of its mirror. Sets RUN (the process) and RUN_JOB.
start_snapshot() {
  : >"$WORK/loaded"
  inside env NODE_OPTIONS="--import $WORK/loaded-files.mjs" LOADED_FILES="$WORK/loaded" \
    virt-publish snapshot "$DOMAIN" --bandwidth 1 --json >"$WORK/events" 2>"$WORK/errors" &
  RUN_JOB=$!
  wait_for 30 grep -q '"type":"progress","step":"mirror"' "$WORK/events" || die 'the mirror does not start'
  RUN=$(processes_of /builds/ "dist/cli/main.js snapshot")
  kill -STOP "$RUN"
}

finish_snapshot() { wait "$RUN_JOB" || { tail -n 3 "$WORK/events" && cat "$WORK/errors" && return 1; }; }

# processes_of WORD...: the processes of the installed version whose command line has all words.
processes_of() {
  local line pid word
  # find fails for processes that end meanwhile
  for pid in $({ find -L /proc/[0-9]*/exe -samefile "$ROOT/usr/lib/virt-publish/package/node" 2>/dev/null || true; } | cut -d/ -f3); do
    line=$(tr '\0' ' ' <"/proc/$pid/cmdline")
    for word in "$@"; do [[ $line = *"$word"* ]] || continue 2; done
    echo "$pid"
  done
}

# wait_for SECONDS COMMAND...
wait_for() {
  local i limit=$1
  shift
  for ((i = 0; i < limit * 10; i++)); do
    "$@" >/dev/null 2>&1 && return
    sleep 0.1
  done
  return 1
}

# start_import: a run that waits for the rest of its input. Sets IMPORT and FEEDER.
start_import() {
  rm -f "$WORK/go" "$WORK/pipe"
  mkfifo "$WORK/pipe"
  { head -c 4M "$ROOT/root/disk.raw" && until [ -e "$WORK/go" ]; do sleep 0.1; done && tail -c +4194305 "$ROOT/root/disk.raw"; } >"$WORK/pipe" &
  FEEDER=$!
  inside virt-publish import - --name "$1" --quiet <"$WORK/pipe" >"$WORK/imported" 2>&1 &
  IMPORT=$!
  wait_for 30 compgen -G "$WORK/work/*" || wait_for 1 compgen -G "$ROOT/var/lib/virt-publish/runs/*" || die 'the import does not start'
}

finish_import() { touch "$WORK/go" && wait "$IMPORT" || { cat "$WORK/imported" && return 1; }; }

guest_is_whole() {
  local xml info
  xml=$(virsh -q dumpxml "$DOMAIN") && info=$(virsh -q dominfo "$DOMAIN") && grep -Eq '^State: +running' <<<"$info" &&
    grep -Eq '^Persistent: +yes' <<<"$info" && [[ $xml != *'<mirror'* && $xml = *"$WORK/web.qcow2"* ]]
}

builds() { (cd "$ROOT/$BUILDS" && ls -d "$1"-* >/dev/null 2>&1); }

check_upgrade_in_progress() {
  say 'upgrade with a snapshot and an import in progress'
  install_version "$OLD"
  cp "$ROOT_DIR/test/support/loaded-files.mjs" "$WORK/"
  printf '{ "workDir": "%s" }\n' "$WORK/work" >"$ROOT/etc/virt-publish/config.json"
  start_import upgraded
  start_snapshot
  expect 'the guest is in the middle of a run' not guest_is_whole
  local loaded
  loaded=$(wc -l <"$WORK/loaded")
  expect "dpkg unpacks $NEXT" inside dpkg --unpack "/root/virt-publish_${NEXT}_amd64.deb"
  expect 'the command is the old one until the package is configured' test "$(vp --version)" = "$OLD"
  expect "apt completes the upgrade to $NEXT" apt install virt-publish
  expect 'and says who uses the old files' said "processes run from it: "
  expect 'the changed configuration stays' grep -q workDir "$ROOT/etc/virt-publish/config.json"
  expect 'the command is the new one' test "$(vp --version)" = "$NEXT"
  expect 'status shows the run of the old version' grep -q running <(vp status)
  kill -CONT "$RUN"
  virsh -q blockjob "$DOMAIN" vda --bandwidth 1000 # 1 MiB/s was for the stop
  expect 'the snapshot goes on, and publishes its image' finish_snapshot
  tail -n +$((loaded + 1)) "$WORK/loaded" >"$WORK/later"
  # Modules; the thread that writes the image starts after the upgrade in any case, from a file of its own.
  say "  it loaded $(wc -l <"$WORK/later") modules after the upgrade"
  expect 'all of its own version' not grep -v -e "/$BUILDS/$OLD-" -e loaded-files.mjs "$WORK/later"
  expect 'the guest is as it was' guest_is_whole
  expect 'the import goes on, and publishes its image' finish_import
  expect 'the new version lists and verifies both images' vp verify --all
}

check_guard_after_upgrade() {
  say 'upgrade, then the death of a run'
  start_snapshot
  expect "apt upgrades $NEXT to $VERSION" install_version "$VERSION"
  expect "the files of $OLD, which no process uses, are removed" not builds "$OLD"
  expect "the files of $NEXT stay" builds "$NEXT"
  kill -KILL "$RUN"
  wait "$RUN_JOB" || true
  expect 'the guard of the old version restores the guest' wait_for 15 guest_is_whole
  expect 'recover of the new version clears the rest' vp recover
  expect 'no run is left' not compgen -G "$ROOT/var/lib/virt-publish/runs/*"
}

check_remove_in_progress() {
  say 'remove and purge with an import in progress'
  start_import removed
  expect 'remove' apt remove virt-publish
  expect 'says who uses the files' said 'processes run from it: '
  expect "the files of $NEXT are removed" not builds "$NEXT"
  expect 'purge' apt purge virt-publish
  expect 'says that images stay' said '/var/lib/virt-publish/registry stays'
  expect 'the import goes on, and publishes its image' finish_import
  expect 'apt installs the package again' install_version "$VERSION"
  expect 'all three images are whole' vp verify --all
}

check_purge_with_pending_run() {
  say 'purge with a run that is pending recovery'
  printf '{ "workDir": "%s" }\n' "$WORK/work" >"$ROOT/etc/virt-publish/config.json"
  start_snapshot
  local guard
  guard=$(processes_of guard-main.js)
  kill -KILL "$guard" "$RUN"
  wait "$RUN_JOB" || true
  expect 'the guest is left in the middle' not guest_is_whole
  expect 'purge' apt purge virt-publish
  expect 'says that the run stays' said 'pending recovery'
  expect 'names it' said "$(ls "$ROOT/var/lib/virt-publish/runs")"
  expect 'its journal stays' compgen -G "$ROOT/var/lib/virt-publish/runs/*/journal.ndjson"
  expect 'the configuration is removed' not test -e "$ROOT/etc/virt-publish"
  expect 'no build stays' not test -e "$ROOT/usr/lib/virt-publish"
  expect 'apt installs the package again' install_version "$VERSION"
  expect 'recover restores the guest' vp recover
  expect 'the guest is as it was' guest_is_whole
}

check_units() {
  say 'units'
  apt install systemd
  mkdir -p "$ROOT/etc/virt-publish/snapshots"
  cp "$ROOT/usr/share/doc/virt-publish/examples/snapshot.conf" "$ROOT/etc/virt-publish/snapshots/web01.conf"
  expect 'systemd accepts the units' verify_units
  expect 'a timer of a domain is enabled' inside systemctl enable virt-publish-snapshot@web01.timer
  rm -r "$ROOT/var/lib/virt-publish"
  expect 'purge' apt purge virt-publish
  expect 'removes its configuration' not test -e "$ROOT/etc/virt-publish"
  expect 'and the enabled timer' not compgen -G "$ROOT/etc/systemd/system/timers.target.wants/virt-publish*"
}

# systemd-analyze also prints what it ignores.
verify_units() {
  local printed
  printed=$(inside systemd-analyze verify --man=no virt-publish-{recover.service,snapshot@web01.{service,timer}} 2>&1)
  [ -z "$printed" ] || { echo "$printed" && return 1; }
}

check_lintian() {
  say 'lintian'
  apt install lintian
  expect 'lintian has no errors' inside lintian --fail-on error "/root/virt-publish_${VERSION}_amd64.deb"
  sed 's/^/    /' "$ROOT.out"
}

main "$@"
