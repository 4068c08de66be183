// The state of a domain from outside: recorded before a run, and compared afterwards.
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

/** Expects the same XML byte for byte, the same state, no block job, no freeze, and a guest that lives. */
export async function expectWhole(domain: TestDomain, before: GuestPhoto): Promise<void> {
  expect(await photograph(domain)).toEqual(before);
  if (before.state === 'shut off') return;
  for (const { target } of domain.disks) expect(await domain.blockJob(target)).toBeNull();
  if (before.state !== 'running' || !domain.hasAgent) return;
  expect(await domain.agent.frozen()).toBe(false);
  await domain.waitForTick();
}
