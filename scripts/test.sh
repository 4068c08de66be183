#!/usr/bin/env bash
# Sets up the machine and runs build, types, lint and all tests on real components.
#
# usage: test.sh [--no-setup] [PROJECT...]
#   projects: unit contract integration faults faults-alone (default: all)
#   The last lines list failed and skipped tests, then "N passed, N failed". Exits 0 only if nothing
#   failed.
set -uo pipefail
ROOT_DIR=$(realpath "$(dirname "${BASH_SOURCE[0]}")/..")
cd "$ROOT_DIR" || exit 1

if [ "${1:-}" = --no-setup ]; then shift; else scripts/setup.sh || exit 1; fi
# shellcheck source=scripts/lib/say.sh
. scripts/lib/say.sh
# shellcheck source=scripts/lib/packages.sh
. scripts/lib/packages.sh
require_node
[ $# -gt 0 ] || set -- unit contract integration faults faults-alone

reports=$(mktemp -d)
trap 'rm -rf "$reports"' EXIT
status=0

npm run --silent check || {
  echo 'check: build, types or lint failed' >&2
  status=1
}
# One project after the other: they share one libvirt and two cores.
for project in "$@"; do
  [ -n "$(find "test/${project%-alone}" -name '*.test.ts' -print -quit 2>/dev/null)" ] || continue
  npx --no-install vitest run --config config/vitest.config.ts --project "$project" \
    --reporter=default --reporter=json --outputFile.json="$reports/$project.json" </dev/null || status=1
done
# NOTE: a file that fails to load has no tests in the report, so the file itself counts as a failure. A
# failure in no report (a crash, lint) must not end in "0 failed".
# shellcheck disable=SC2016 # JavaScript, not shell
STATUS=$status REPORTS=$reports node --input-type=module -e '
  import { readdirSync, readFileSync } from "node:fs";
  const { REPORTS, STATUS } = process.env;
  const sums = { passed: 0, failed: 0, skipped: 0 };
  // Any other outcome is a failure: failed, or pending in a process that crashed.
  const outcomes = { passed: "passed", skipped: "skipped", todo: "skipped" };
  const print = (word, file, test, why = "") =>
    console.log([word, file.name.replace(`${process.cwd()}/`, ""), test?.fullName ?? "", why].join("  ").trim());
  for (const name of readdirSync(REPORTS)) {
    const report = JSON.parse(readFileSync(`${REPORTS}/${name}`, "utf8"));
    for (const file of report.testResults) {
      const { assertionResults: tests } = file;
      for (const test of tests) {
        const ended = outcomes[test.status] ?? "failed";
        sums[ended] += 1;
        if (ended === "skipped") print("SKIPPED", file, test);
        if (ended === "failed") print("FAILED", file, test, test.failureMessages[0]?.split("\n")[0] ?? "it did not end");
      }
      if (file.status !== "failed" || tests.some((test) => outcomes[test.status] === undefined)) continue;
      sums.failed += 1;
      print("FAILED", file, undefined, file.message.split("\n")[0]);
    }
  }
  if (STATUS !== "0" && sums.failed === 0) sums.failed = 1;
  if (sums.passed === 0 && sums.failed === 0) { console.error("no test was run"); sums.failed = 1; }
  console.log(`${sums.passed} passed, ${sums.failed} failed${sums.skipped > 0 ? `, ${sums.skipped} skipped` : ""}`);
  process.exitCode = sums.failed > 0 ? 1 : 0;
'
