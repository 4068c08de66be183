// Checks what the registry can do, by trying it, and whether its clock and this host's agree.
import { access } from 'node:fs/promises';
import type { Registry } from '../../registry/registry.ts';
import {
  type DoctorFinding,
  type ExamineOptions,
  failure,
  lookOrFail,
  ok,
  warning,
} from './finding.ts';

/** S3 refuses requests that are 15 minutes off. */
const REFUSED_MS = 15 * 60_000;
const NOTICED_MS = 30_000;

export async function checkRegistry(options: ExamineOptions): Promise<DoctorFinding[]> {
  const { openRegistry, signal } = options;
  const registry = await openRegistry();
  await registry.checkAccess({ signal });
  const isThere = registry.directory === null || (await registry.exists({ signal }));
  const detail = isThere
    ? 'answers'
    : 'does not exist yet; the first snapshot or import creates it';
  return [
    ok('registry', `${registry.url} ${detail}`),
    ...(isThere
      ? await lookOrFail('registry capabilities', signal, () => capabilities(registry, signal))
      : []),
    ...(await lookOrFail('clock', signal, () => clock(registry, signal))),
  ];
}

async function capabilities(registry: Registry, signal: AbortSignal): Promise<DoctorFinding[]> {
  const found = await registry.probeCapabilities({ signal });
  return found.map(({ name, supported, detail }) => {
    const title = `registry ${name}`;
    if (supported !== false) return ok(title, detail);
    const isVital = name === 'create-only';
    const hint = 'see `virt-publish explain registry` for what an S3 server needs';
    return isVital ? failure(title, 'REGISTRY', detail, hint) : warning(title, detail, hint);
  });
}

async function clock(registry: Registry, signal: AbortSignal): Promise<DoctorFinding[]> {
  const before = Date.now();
  const server = await registry.serverTime({ signal });
  if (server === undefined) return [await localClock()];
  // The header has whole seconds: the middle of what it may mean.
  const here = (before + Date.now()) / 2;
  const skewMs = here - (server.getTime() + 500);
  const seconds = Math.abs(skewMs / 1000).toFixed(0);
  const detail = `this host is ${seconds} s ${skewMs < 0 ? 'behind' : 'ahead of'} the registry's server`;
  const hint = 'set the clock: run chrony or systemd-timesyncd on both';
  if (Math.abs(skewMs) >= REFUSED_MS) return [failure('clock', 'REGISTRY', detail, hint)];
  return [Math.abs(skewMs) >= NOTICED_MS ? warning('clock', detail, hint) : ok('clock', detail)];
}

/** systemd-timesyncd creates a file when it has set the clock; other programs are not checked. */
async function localClock(): Promise<DoctorFinding> {
  try {
    await access('/run/systemd/timesync/synchronized');
    return ok('clock', 'set by systemd-timesyncd');
  } catch {
    return ok('clock', 'only this host uses it; not checked');
  }
}
