// Checks the version of qemu-img, and on a tiny image that it can do what runs need.
import { join } from 'node:path';
import type { Config } from '../../config/config.ts';
import { messageOf } from '../../core/errors.ts';
import { convert, createOverlay, info, measure, version } from '../../qemu/qemu-img.ts';
import { type DoctorFinding, failure, ok, warning } from './finding.ts';
import { withProbeFolder } from './probe-folder.ts';

const SIZE = 1024 * 1024;

export async function checkQemuImg(config: Config, signal: AbortSignal): Promise<DoctorFinding[]> {
  const limits = { signal, timeoutMs: config.timeouts.requestMs };
  const found = ok('qemu-img', `version ${await version(limits)}`);
  return withProbeFolder(config.workDir, async (folder) => {
    const path = join(folder, 'probe.qcow2');
    const source = { path, format: 'qcow2', backingChain: [] };
    await createOverlay({ ...limits, path, format: 'qcow2', virtualSize: SIZE, backing: null });
    const tries: [string, string, () => Promise<unknown>][] = [
      [
        'zstd',
        'use --compress zlib, or install QEMU 5.1 or later with zstd',
        () =>
          convert({
            ...{ ...limits, source, virtualSize: SIZE, compress: 'zstd' as const },
            target: { path: join(folder, 'zstd.qcow2'), format: 'qcow2' },
          }),
      ],
      [
        'limits',
        'install util-linux: import needs its prlimit',
        () => info({ ...source, ...limits, confined: { addressSpaceBytes: 2 ** 31, cpuS: 30 } }),
      ],
    ];
    const findings = [found];
    for (const [name, hint, attempt] of tries) {
      findings.push(await tryOut(`qemu-img ${name}`, hint, attempt));
      signal.throwIfAborted();
    }
    const measuring = () => measure({ ...limits, source, targetFormat: 'qcow2' });
    const measured = await tryOut('qemu-img measure', '', measuring);
    const hint = 'install qemu-img 4.2 or later: space is measured with it before a run';
    const isGood = measured.state === 'ok';
    return [
      ...findings,
      isGood ? measured : failure('qemu-img measure', 'QEMU_IMG', measured.detail, hint),
    ];
  });
}

async function tryOut(
  name: string,
  hint: string,
  attempt: () => Promise<unknown>,
): Promise<DoctorFinding> {
  try {
    await attempt();
    return ok(name, 'works');
  } catch (error) {
    return warning(name, messageOf(error), hint);
  }
}
