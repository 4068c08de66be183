// Runs are killed at random moments: the guest is restored each time, and no files are left.
import { setTimeout as sleep } from 'node:timers/promises';
import { expect, test } from 'vitest';
import { expectNothingLeft, untilWhole } from '../faults/whole.ts';
import { makeSandbox, runCli, startCli } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { photograph } from '../support/guest-photo.ts';

const minutes = Number(process.env.VIRT_PUBLISH_TEST_SOAK_MINUTES ?? 1);
const seed = Number(process.env.VIRT_PUBLISH_TEST_SOAK_SEED ?? 1);

/** The longest run on the tiny guest; some end earlier, which is a case as well. */
const LONGEST_MS = 2500;
const WHOLE_WITHIN_MS = 10_000;

test(
  `the guest is restored after random kills for ${minutes} minutes, seed ${seed}`,
  async () => {
    const sandbox = await makeSandbox();
    const domain = await createDomain({ shape: 'qcow2', autostart: true });
    const before = await photograph(domain);
    const random = randomNumbers(seed);
    const counts: Record<string, number> = {};
    const deadline = performance.now() + minutes * 60_000;
    for (let round = 1; performance.now() < deadline; round += 1) {
      const mode = random() < 0.5 ? 'live' : 'cold';
      const signal = random() < 0.7 ? 'SIGKILL' : 'SIGTERM';
      const afterMs = Math.round(random() * LONGEST_MS);
      const what = `round ${round}: ${mode}, ${signal} after ${afterMs} ms`;
      const args = ['snapshot', domain.name, '--mode', mode, '--quiet'];
      const { child, done } = await startCli(args, { sandbox });
      await sleep(afterMs);
      child.kill(signal);
      const { exitCode } = await done;
      await untilWhole(domain, before, WHOLE_WITHIN_MS).catch((error: unknown) => {
        throw new Error(`${what}: ${error}`);
      });
      // A run that is killed while it loads has no signal handler yet, and has done nothing.
      expect([0, 130, null], what).toContain(exitCode);
      const recovered = await runCli(['recover'], { sandbox });
      expect(recovered.exitCode, `${what}: ${recovered.stderr}`).toBe(0);
      await untilWhole(domain, before, 0);
      await expectNothingLeft(sandbox).catch((error: unknown) => {
        throw new Error(`${what}: ${recovered.stdout}${error}`);
      });
      const key = `${mode} ${signal} exit ${exitCode}`;
      counts[key] = (counts[key] ?? 0) + 1;
    }
    process.stdout.write(`${JSON.stringify(counts, undefined, 2)}\n`);
  },
  minutes * 60_000 + 120_000,
);

/** Returns a generator of numbers from 0 to 1, the same for the same seed (mulberry32). */
function randomNumbers(start: number): () => number {
  let state = start;
  return () => {
    state = (state + 0x6d2b79f5) | 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 32;
  };
}
