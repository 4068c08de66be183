import { defineConfig } from 'vitest/config';

// A project's turn where several are run at once: those of one turn would have to share their workers.
const turn = (groupOrder: number) => ({ sequence: { groupOrder } });
const timeouts = { testTimeout: 180_000, hookTimeout: 180_000 };
const withDomains = { ...timeouts, globalSetup: 'test/support/leftovers.ts' };
const oneByOne = { ...withDomains, fileParallelism: false };
// A guest that boots, and a server that answers, are waited for as often as they compute.
const twoAtOnce = { ...withDomains, fileParallelism: true, maxWorkers: 2 };

// Within two seconds a killed run's guest is whole again: who looks at that runs alone.
const ALONE = ['test/faults/process.test.ts', 'test/faults/process-guard.test.ts'];

// NOTE: the command and the library (`virt-publish`) are tested as they ship, in `dist`. Parts of them come,
// by `#built/*`, from the modules in `build` that `dist` is bundled from; threads and child processes
// start there too, since plain Node can load them.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    projects: [
      {
        test: {
          name: 'unit',
          include: ['test/unit/**/*.test.ts'],
          testTimeout: 60_000,
          ...turn(1),
        },
      },
      {
        test: {
          name: 'contract',
          include: ['test/contract/**/*.test.ts'],
          ...twoAtOnce,
          ...turn(2),
        },
      },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          ...twoAtOnce,
          ...turn(3),
        },
      },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], ...oneByOne, ...turn(6) } },
      {
        test: {
          ...{ name: 'faults', include: ['test/faults/**/*.test.ts'], exclude: ALONE },
          ...twoAtOnce,
          ...turn(4),
        },
      },
      { test: { name: 'faults-alone', include: ALONE, ...oneByOne, ...turn(5) } },
    ],
  },
});
