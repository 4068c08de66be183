// What a domain looks like from outside: taken before a run, and held against it afterwards.
import { expect } from 'vitest';
import type { TestDomain } from './domains.ts';

export interface GuestPhoto {
  inactiveXml: string;
  persistent: string;
  autostart: string;
  state: string;
}

export async function photograph(domain: TestDomain): Promise<GuestPhoto> {
  return {
    inactiveXml: await domain.inactiveXml(),
    persistent: await domain.info('Persistent'),
    autostart: await domain.info('Autostart'),
    state: await domain.state(),
  };
}

/** The same config byte for byte, the same state, no block job, nothing frozen, and it lives. */
export async function expectWhole(domain: TestDomain, before: GuestPhoto): Promise<void> {
  expect(await photograph(domain)).toEqual(before);
  if (before.state === 'shut off') return;
  for (const { target } of domain.disks) expect(await domain.blockJob(target)).toBeNull();
  if (before.state !== 'running' || !domain.hasAgent) return;
  expect(await domain.agent.frozen()).toBe(false);
  await domain.waitForTick();
}
