# One line for each thing done, and where the lab lives. Sourced, never run.
# shellcheck shell=bash disable=SC2034

: "${VIRT_PUBLISH_LAB:=/var/lib/virt-publish-lab}"
LAB=$VIRT_PUBLISH_LAB
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# log_of NAME: where the noise of a step goes, so that one line each is enough on the screen.
log_of() { printf '%s/log/%s.log' "$LAB" "$1"; }

# quietly NAME CMD...: runs CMD with its output in the step's log; shows the end of it on failure.
quietly() {
  local log status
  log=$(log_of "$1")
  shift
  # 9 is the lock of the set-up: a daemon that inherits it would hold it for as long as it lives
  "$@" >>"$log" 2>&1 </dev/null 9>&- && return
  status=$?
  tail -n 15 "$log" >&2
  die "'$*' failed with $status; all of its output is in $log"
}

# process_is PIDFILE TEXT: true while the process of PIDFILE lives and its command line holds TEXT.
# NOTE: a pid is reused after a reboot; without the command line a stranger would be taken for ours.
process_is() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2"; } 2>/dev/null
}

# stop_process PIDFILE TEXT SECONDS: ends that process, gently first; the pid file goes too.
stop_process() {
  local pid i
  if process_is "$1" "$2"; then
    pid=$(cat "$1")
    kill "$pid" 2>/dev/null || true
    for ((i = 0; i < $3 * 10; i++)); do
      process_is "$1" "$2" || break
      sleep 0.1
    done
    process_is "$1" "$2" && kill -9 "$pid"
  fi
  rm -f "$1"
}

prepare_lab() {
  [ "$(id -u)" = 0 ] || die "the lab needs root (packages, daemons, loop devices): sudo $0"
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "the lab's tiny guest is built for Linux on x86_64 only, this is $(uname -sm)"
  mkdir -p "$LAB"/{run,log,guest,domains}
  # NOTE: QEMU runs as a user of its own and must be able to walk to the disks (x), not to list (r).
  chmod 0711 "$LAB" "$LAB/guest" "$LAB/domains"
  chmod 0700 "$LAB/run" "$LAB/log"
}
