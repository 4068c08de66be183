import { defineConfig } from 'vitest/config';

const real = { testTimeout: 180_000, hookTimeout: 180_000, fileParallelism: false };

// NOTE: every suite runs what ships (`dist`, through the `#dist/*` import map): worker threads and
// child processes start from files that plain Node can load, in the tests as in production.
export default defineConfig({
  test: {
    root: new URL('..', import.meta.url).pathname,
    projects: [
      { test: { name: 'unit', include: ['test/unit/**/*.test.ts'], testTimeout: 60_000 } },
      { test: { name: 'contract', include: ['test/contract/**/*.test.ts'], ...real } },
      {
        test: {
          name: 'integration',
          include: ['test/integration/**/*.test.ts'],
          ...real,
          // A guest that boots is waited for as often as it computes.
          ...{ fileParallelism: true, maxWorkers: 2 },
        },
      },
      { test: { name: 'soak', include: ['test/soak/**/*.test.ts'], ...real } },
      { test: { name: 'faults', include: ['test/faults/**/*.test.ts'], ...real } },
    ],
  },
});
