# Progress lines, logs and processes of the scripts, and the lab's folder. Sourced, never run.
# shellcheck shell=bash disable=SC2034

: "${VIRT_PUBLISH_LAB:=/var/lib/virt-publish-lab}"
LAB=$VIRT_PUBLISH_LAB
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/../..")

say() { printf '[%3ds] %s\n' "$SECONDS" "$*"; }

die() {
  printf 'error: %s\n' "$*" >&2
  exit 1
}

# log_of NAME: prints the log file of a step. The screen shows one line a step.
log_of() { printf '%s/log/%s.log' "$LAB" "$1"; }

# quietly NAME CMD...: runs CMD with its output in the log of step NAME; prints the end of the log if it fails.
quietly() {
  local log status
  log=$(log_of "$1")
  shift
  # 9 is the lock of setup.sh: a daemon that inherits it would hold it until it ends
  "$@" >>"$log" 2>&1 </dev/null 9>&- && return
  status=$?
  tail -n 15 "$log" >&2
  die "'$*' failed with exit code $status; see $log"
}

# process_is PIDFILE TEXT: succeeds if the process of PIDFILE runs and its command line contains TEXT.
# NOTE: the kernel reuses a pid after a reboot; the command line shows that it is the same program.
process_is() {
  local pid
  pid=$(cat "$1" 2>/dev/null) || return 1
  [ -n "$pid" ] && { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$2"; } 2>/dev/null
}

# stop_process PIDFILE TEXT SECONDS: ends that process with SIGTERM, after SECONDS with SIGKILL; removes PIDFILE.
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
  [ "$(id -u)" = 0 ] || die "the lab needs root for packages, daemons and loop devices: sudo $0"
  [ "$(uname -sm)" = 'Linux x86_64' ] || die "the lab's guest needs Linux on x86_64, and this is $(uname -sm)"
  mkdir -p "$LAB"/{run,log,guest,domains}
  # NOTE: QEMU runs as another user. It needs to traverse the folders (x), not to list them (r).
  chmod 0711 "$LAB" "$LAB/guest" "$LAB/domains"
  chmod 0700 "$LAB/run" "$LAB/log"
}
