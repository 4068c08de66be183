// The guest agent through the libvirt room: a real freeze of a real guest, and its clock.
import { expect, test } from 'vitest';
import { openConnection } from '#built/libvirt/connection.js';
import { findDomain } from '#built/libvirt/find-domain.js';
import { createDomain } from '../support/domains.ts';
import { lab } from '../support/lab.ts';

test('`fsFreeze` and `fsThaw` freeze and thaw a real guest, and `setTimeSync` sets its clock', async () => {
  const guest = await createDomain({ agent: true });
  const connection = await openConnection(lab().uri, { callTimeoutMs: 60_000 });
  const domain = await findDomain(connection, guest.name);
  await domain.agentSetResponseTimeout(10);
  const status = async (): Promise<unknown> =>
    JSON.parse(await domain.qemuAgentCommand('{"execute":"guest-fsfreeze-status"}', 10));

  expect(await domain.fsFreeze()).toBe(1);
  expect(await status()).toEqual({ return: 'frozen' });
  expect(await domain.fsThaw()).toBe(1);
  expect(await status()).toEqual({ return: 'thawed' });
  expect(await domain.fsThaw()).toBe(0);
  await domain.setTimeSync();
  await connection.close();
  await guest.destroy();
});
