// Looks at all that a run needs, by trying it, and says what would fail and how to cure it.
import { checkLibvirt } from './check-libvirt.ts';
import { checkQemuImg } from './check-qemu-img.ts';
import { checkRegistry } from './check-registry.ts';
import { checkSpace } from './check-space.ts';
import { checkWorkDir } from './check-work-dir.ts';
import type { DoctorOptions } from './finding.ts';
import { type Finding, lookOrFail } from './finding.ts';

export type { Finding } from './finding.ts';

/**
 * The findings, in the order they were made, told one by one. Nothing that is found is thrown; what
 * is made to try something is removed again.
 * @throws INTERRUPTED
 */
export async function* examineHost(options: DoctorOptions): AsyncGenerator<Finding> {
  const { config, signal } = options;
  const look = (name: string, work: () => Promise<Finding[]>) => lookOrFail(name, signal, work);
  yield* await look('libvirt', () => checkLibvirt(options));
  yield* await look('qemu-img', () => checkQemuImg(config, signal));
  yield* await look('work directory', () => checkWorkDir(config, signal));
  yield* await look('space', () => checkSpace(config));
  yield* await look('registry', () => checkRegistry(options));
}
