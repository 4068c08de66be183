#!/usr/bin/env bash
# Sets up the machine and runs everything: build, types, lint, and all tests on the real things.
#
# usage: test.sh [--no-setup] [PROJECT...]
#   (projects: unit contract integration faults faults-alone; all if none)
# What failed or was skipped is told once more at the end. The last line is "N passed, N failed";
# the exit code is 0 only if nothing failed.
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
# One project after the other: they share one libvirt, and one machine's two cores.
for project in "$@"; do
  [ -n "$(find "test/${project%-alone}" -name '*.test.ts' -print -quit 2>/dev/null)" ] || continue
  npx --no-install vitest run --config config/vitest.config.ts --project "$project" \
    --reporter=default --reporter=json --outputFile.json="$reports/$project.json" </dev/null || status=1
done
# NOTE: a file that fails to load has no tests in the report that could fail, so it is counted itself;
# and a failure that is in no report at all (a crash, the lint) must not end in "0 failed".
# shellcheck disable=SC2016 # JavaScript, not shell
STATUS=$status REPORTS=$reports node --input-type=module -e '
  import { readdirSync, readFileSync } from "node:fs";
  const { REPORTS, STATUS } = process.env;
  const sums = { passed: 0, failed: 0, skipped: 0 };
  // Any other (failed; pending, of a process that crashed) is a failure.
  const outcomes = { passed: "passed", skipped: "skipped", todo: "skipped" };
  const tell = (word, file, test, why = "") =>
    console.log([word, file.name.replace(`${process.cwd()}/`, ""), test?.fullName ?? "", why].join("  ").trim());
  for (const name of readdirSync(REPORTS)) {
    const report = JSON.parse(readFileSync(`${REPORTS}/${name}`, "utf8"));
    for (const file of report.testResults) {
      const { assertionResults: tests } = file;
      for (const test of tests) {
        const ended = outcomes[test.status] ?? "failed";
        sums[ended] += 1;
        if (ended === "skipped") tell("SKIPPED", file, test);
        if (ended === "failed") tell("FAILED", file, test, test.failureMessages[0]?.split("\n")[0] ?? "it did not end");
      }
      if (file.status !== "failed" || tests.some((test) => outcomes[test.status] === undefined)) continue;
      sums.failed += 1;
      tell("FAILED", file, undefined, file.message.split("\n")[0]);
    }
  }
  if (STATUS !== "0" && sums.failed === 0) sums.failed = 1;
  if (sums.passed === 0 && sums.failed === 0) { console.error("no test was run"); sums.failed = 1; }
  console.log(`${sums.passed} passed, ${sums.failed} failed${sums.skipped > 0 ? `, ${sums.skipped} skipped` : ""}`);
  process.exitCode = sums.failed > 0 ? 1 : 0;
'
