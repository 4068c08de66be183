// Completion of domains: the names that libvirt has.
import { expect, test } from 'vitest';
import { runCli } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';

test('`__complete` prints the domains of libvirt, running or off', async () => {
  const running = await createDomain();
  const off = await createDomain({ state: 'off' });
  const { exitCode, stdout, stderr } = await runCli(['__complete', '--', 'snapshot', 'vp-test-']);
  expect([exitCode, stderr]).toEqual([0, '']);
  const lines = stdout.split('\n');
  for (const { name } of [running, off]) expect(lines).toContain(`${name}\tdomain`);
});
