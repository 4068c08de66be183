import { defineConfig } from 'vitest/config';

const timeouts = { testTimeout: 180_000, hookTimeout: 180_000 };
const oneByOne = { ...timeouts, fileParallelism: false };
// A guest that boots, and a server that answers, are waited for as often as they compute.
const twoAtOnce = { ...timeouts, fileParallelism: true, maxWorkers: 2 };

// Within two seconds a killed run's guest is whole again: who looks at that runs alone.
const ALONE = ['test/faults/process.test.ts', 'test/faults/process-guard.test.ts'];

// NOTE: every suite runs what ships (`dist`, through the `#dist/*` import map): worker threads and
// child processes start from files that plain Node can load, in the tests as in production.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], ...twoAtOnce } },
      { test: { name: 'integration', include: ['test/integration/**/*.test.ts'], ...twoAtOnce } },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], ...oneByOne } },
      {
        test: {
          ...{ name: 'faults', include: ['test/faults/**/*.test.ts'], exclude: ALONE },
          ...twoAtOnce,
        },
      },
      { test: { name: 'faults-alone', include: ALONE, ...oneByOne } },
    ],
  },
});
