// `snapshot --keep`: the newest images of one disk under one name stay, and what protects an image holds.
import { expect, test } from 'vitest';
import { makeSandbox, runCli } from '../support/cli.ts';
import { createDomain } from '../support/domains.ts';
import { publish } from '../support/publishing.ts';

test('`snapshot --keep` deletes older snapshots of the same disk and name only', async () => {
  const sandbox = await makeSandbox();
  const domain = await createDomain({ state: 'off' });
  const snapshot = async (...args: string[]) =>
    (await publish([domain.name, ...args], { sandbox })).id;
  const named = await snapshot('--name', 'golden');
  const pointed = await snapshot('--alias', 'web/first');
  const old = await snapshot();
  const kept = await snapshot('--keep', '3');
  const newest = await snapshot('--keep', '2');
  const { events } = await runCli(['list', '--json'], { sandbox });
  const { images } = events.at(-1) as { images: { id: string }[] };
  const ids = images.map(({ id }) => id);
  expect(ids).toEqual([newest, kept, pointed, named]);
  expect(ids).not.toContain(old);
  const none = await runCli(['snapshot', domain.name, '--keep', '0'], { sandbox });
  expect(none.exitCode).toBe(2);
});
