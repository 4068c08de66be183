#!/usr/bin/env bash
# Runs a real S3 server on 127.0.0.1 (one-node Ceph with radosgw), one for each DIR. Needs no systemd.
#
#   s3-server.sh start DIR [memstore|bluestore] [ROOT]   ROOT: the chroot that has Ceph, or /
#   s3-server.sh running DIR        exit 0 if its gateways answer
#   s3-server.sh kill-gateway DIR   SIGKILL to the main gateway; stored objects stay
#   s3-server.sh start-gateway DIR  starts it again
#   s3-server.sh stop DIR           ends the daemons of DIR, by their pid files, and removes DIR
#
# DIR/env holds keys and endpoints, on ports that are free at the start: http, https (DIR/cert.pem), and
# a second gateway on the same data that accepts multipart parts of any size, for tests with 10,000 parts.
# memstore keeps all objects in memory.
# NOTE: pid files are in DIR/run. A pid counts only if the command line of its process names DIR.
set -euo pipefail
HERE=$(realpath "$(dirname "${BASH_SOURCE[0]}")")

usage() {
  sed -n '2,12s/^# \{0,1\}//p' "${BASH_SOURCE[0]}" >&2
  exit 2
}
[ $# -ge 2 ] || usage
DIR=$(realpath -m "$2")
GATEWAYS=(client.rgw client.tiny)

main() {
  case $1 in
  start) start "${3:-memstore}" "${4:-/var/cache/virt-publish/ceph}" ;;
  running) running ;;
  kill-gateway) kill -9 "$(pid_of client.rgw)" ;;
  start-gateway) start_gateway client.rgw S3_ENDPOINT ;;
  stop) stop ;;
  *) usage ;;
  esac
}

in_root() { BIND="$DIR" "$HERE/lib/chroot.sh" "$(cat "$DIR/root")" "$@"; }

# pid_of NAME: prints the pid of a daemon of DIR; fails if it does not run.
pid_of() {
  local pid
  pid=$(cat "$DIR/run/$1.pid" 2>/dev/null) || return 1
  { tr '\0' ' ' <"/proc/$pid/cmdline" | grep -qF -- "$DIR/ceph.conf"; } 2>/dev/null || return 1
  printf '%s' "$pid"
}

# answers NAME: succeeds if the endpoint NAME of DIR/env answers.
answers() {
  local endpoint
  endpoint=$(sed -n "s/^export $1=//p" "$DIR/env" 2>/dev/null)
  [ -n "$endpoint" ] && curl -sf -m 5 -o /dev/null "$endpoint/"
}

running() { pid_of osd.0 >/dev/null && answers S3_ENDPOINT && answers S3_TINY_PARTS_ENDPOINT; }

start() {
  local store=$1 root=$2
  [ ! -e "$DIR/ceph.conf" ] || { echo "$DIR already holds a server; stop it with: s3-server.sh stop $DIR" >&2; exit 1; }
  mkdir -p "$DIR"/{mon.a,osd.0,rgw,log,run}
  printf '%s\n' "$root" >"$DIR/root"
  ulimit -n 65536 2>/dev/null || ulimit -n "$(ulimit -Hn)"
  openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 3650 -subj /CN=localhost \
    -addext 'subjectAltName=DNS:localhost,IP:127.0.0.1' -keyout "$DIR/key.pem" -out "$DIR/cert.pem" 2>/dev/null
  choose_ports
  write_config "$store"
  write_env
  start_cluster
  start_gateway client.tiny S3_TINY_PARTS_ENDPOINT &
  start_gateway client.rgw S3_ENDPOINT
  wait $!
}

# choose_ports: sets HTTP_PORT, HTTPS_PORT, TINY_PORT and MON_ADDRESSES to ports that no socket uses.
# NOTE: random, so two servers that start at once choose different ports. Below 32768: the kernel gives
# higher ports to clients, and a client could take one before the server listens on it.
choose_ports() {
  local ports
  mapfile -t ports < <(shuf -i 20000-32767 | grep -vxFf <(used_ports) | head -n 5)
  HTTP_PORT=${ports[0]} HTTPS_PORT=${ports[1]} TINY_PORT=${ports[2]}
  MON_ADDRESSES="[v2:127.0.0.1:${ports[3]},v1:127.0.0.1:${ports[4]}]"
}

# used_ports: prints the local ports of all TCP sockets, one a line. /proc has them in hexadecimal.
used_ports() {
  # shellcheck disable=SC2046 # one argument each
  printf '%d\n' $(cat /proc/net/tcp /proc/net/tcp6 2>/dev/null | sed -nE 's/^ *[0-9]+: [0-9A-F]+:([0-9A-F]{4}) .*/0x\1/p')
}

# write_config STORE: writes ceph.conf: no authentication between daemons, one replica, short waits.
write_config() {
  local bytes=$((12 << 30))
  [ "$1" = memstore ] || bytes=$((64 << 30)) # a sparse file
  cat >"$DIR/ceph.conf" <<C
[global]
fsid = $(cat /proc/sys/kernel/random/uuid)
mon_host = $MON_ADDRESSES
mon_initial_members = a
public_addr = 127.0.0.1
cluster_addr = 127.0.0.1
auth_cluster_required = none
auth_service_required = none
auth_client_required = none
auth_allow_insecure_global_id_reclaim = true
mon_warn_on_insecure_global_id_reclaim_allowed = false
osd_pool_default_size = 1
osd_pool_default_min_size = 1
osd_pool_default_pg_num = 8
osd_pool_default_pgp_num = 8
osd_pool_default_pg_autoscale_mode = off
osd_crush_chooseleaf_type = 0
mon_allow_pool_size_one = true
mon_warn_on_pool_no_redundancy = false
mon_max_pg_per_osd = 2000
mon_data_avail_warn = 1
mon_data_avail_crit = 1
run_dir = $DIR/run
log_file = $DIR/log/\$name.log
admin_socket = $DIR/run/\$name.asok
pid_file = $DIR/run/\$name.pid
crash_dir = $DIR/log
keyring = $DIR/keyring
ms_bind_ipv6 = false
ms_mon_client_mode = crc
ms_mon_service_mode = crc
ms_mon_cluster_mode = crc
[mon]
paxos_propose_interval = 0.05
paxos_min_wait = 0.01
mon_tick_interval = 1
mon_data = $DIR/mon.\$id
mon_cluster_log_file = $DIR/log/cluster.log
[osd]
osd_data = $DIR/osd.\$id
osd_objectstore = $1
osd_memory_target = 1073741824
memstore_device_bytes = $bytes
bluestore_block_create = true
bluestore_block_size = $bytes
bluestore_block_db_create = false
bluestore_block_wal_create = false
bluestore_min_alloc_size = 65536
osd_class_load_list = *
osd_class_default_list = *
osd_max_object_size = 134217728
osd_op_num_shards = 2
osd_client_watch_timeout = 2
mon_osd_full_ratio = .99
[client]
rgw_data = $DIR/rgw
rgw_thread_pool_size = 64
rgw_enable_usage_log = false
rgw_dns_name = localhost
rgw_crypt_require_ssl = false
rgw_gc_obj_min_wait = 2
rgw_gc_processor_period = 5
[client.rgw]
rgw_frontends = beast endpoint=127.0.0.1:$HTTP_PORT ssl_endpoint=127.0.0.1:$HTTPS_PORT ssl_certificate=$DIR/cert.pem ssl_private_key=$DIR/key.pem
[client.tiny]
rgw_frontends = beast endpoint=127.0.0.1:$TINY_PORT
rgw_multipart_min_part_size = 1
rgw_enable_gc_threads = false
rgw_enable_lc_threads = false
C
}

# start_cluster: starts the monitor and the OSD, and makes the user of the tests.
start_cluster() {
  # shellcheck disable=SC2016 # the inner shell expands these
  in_root bash -ec '
    dir=$1 addresses=$2 conf=$1/ceph.conf
    fsid=$(sed -n "s/^fsid = //p" "$conf") osd=$(cat /proc/sys/kernel/random/uuid)
    ceph-authtool --create-keyring "$dir/keyring" --gen-key -n mon. --cap mon "allow *"
    for name in client.admin client.rgw client.tiny; do
      ceph-authtool "$dir/keyring" --gen-key -n $name --cap mon "allow *" --cap osd "allow *" --cap mgr "allow *"
    done
    monmaptool --create --fsid "$fsid" --addv a "$addresses" "$dir/monmap"
    ceph-mon -c "$conf" --mkfs -i a --monmap "$dir/monmap" --keyring "$dir/keyring"
    ceph-mon -c "$conf" -i a
    ceph -c "$conf" --connect-timeout 30 osd new "$osd"
    ceph-osd -c "$conf" -i 0 --mkfs --osd-uuid "$osd"
    ceph-osd -c "$conf" -i 0
    timeout 60 radosgw-admin -c "$conf" user create --uid=test --display-name=test \
      --access-key=testkey --secret-key=testsecret0123456789
  ' bash "$DIR" "$MON_ADDRESSES" >>"$DIR/log/start.log" 2>&1 || {
    tail -n 15 "$DIR/log/start.log" >&2
    exit 1
  }
}

# start_gateway NAME ENDPOINT: starts a gateway, and returns when the endpoint ENDPOINT of DIR/env answers.
start_gateway() {
  local i
  rm -f "$DIR/run/$1.asok"
  in_root timeout 60 radosgw -c "$DIR/ceph.conf" -n "$1" </dev/null >>"$DIR/log/start.log" 2>&1
  for ((i = 0; i < 300; i++)); do
    answers "$2" && return
    sleep 0.1
  done
  echo "radosgw ($1) does not answer at $2 after 30 s; see $DIR/log" >&2
  return 1
}

write_env() {
  cat >"$DIR/env" <<C
export S3_ENDPOINT=http://127.0.0.1:$HTTP_PORT
export S3_TLS_ENDPOINT=https://localhost:$HTTPS_PORT
export S3_CA_FILE=$DIR/cert.pem
export S3_TINY_PARTS_ENDPOINT=http://127.0.0.1:$TINY_PORT
export AWS_ACCESS_KEY_ID=testkey
export AWS_SECRET_ACCESS_KEY=testsecret0123456789
export AWS_REGION=us-east-1
export AWS_DEFAULT_REGION=us-east-1
C
}

# stop: kills the daemons. The data is removed, and a graceful end of a gateway takes 10 s.
stop() {
  local name pid
  for name in "${GATEWAYS[@]}" osd.0 mon.a; do
    pid=$(pid_of "$name") || continue
    kill -9 "$pid"
    while [ -d "/proc/$pid" ] && [ "$(awk '{ print $3 }' "/proc/$pid/stat" 2>/dev/null)" != Z ]; do sleep 0.05; done
  done
  rm -rf --one-file-system "$DIR"
}

main "$@"
