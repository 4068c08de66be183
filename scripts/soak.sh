#!/usr/bin/env bash
# Kills runs at random moments for some minutes. After each kill the guest must be as it was, with no leftovers.
#
# First it runs the tests of faults at every point of a run (the run and its guard die, the journal
# fails, another client acts on the domain). The test suite itself uses some of the points.
#
# usage: soak.sh [MINUTES] [SEED]   (default: 10 minutes; the printed seed repeats a soak)
set -euo pipefail
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cd "$ROOT_DIR"

minutes=${1:-10}
seed=${2:-$RANDOM}
[ -e "${VIRT_PUBLISH_LAB:-/var/lib/virt-publish-lab}/env" ] || scripts/setup.sh
# shellcheck source=scripts/lib/say.sh
. scripts/lib/say.sh
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
require_node
npm run --silent build
VIRT_PUBLISH_TEST_EVERY_POINT=1 npx --no-install vitest run --config config/vitest.config.ts \
  --project faults --project faults-alone other-clients journal process.test
echo "soak: $minutes minutes, seed $seed"
VIRT_PUBLISH_TEST_SOAK_MINUTES=$minutes VIRT_PUBLISH_TEST_SOAK_SEED=$seed \
  exec npx --no-install vitest run --config config/vitest.config.ts --project soak
