// Checks everything that a run needs, by trying it; each failure has a hint.
import { checkLibvirt } from './check-libvirt.ts';
import { checkQemuImg } from './check-qemu-img.ts';
import { checkRegistry } from './check-registry.ts';
import { checkSpace } from './check-space.ts';
import { checkWorkDir } from './check-work-dir.ts';
import { type DoctorFinding, type ExamineOptions, lookOrFail } from './finding.ts';

/**
 * Yields the findings in the order in which they are made. Nothing that is found is thrown, and what
 * is made to try something is removed again.
 * @throws PublishError INTERRUPTED
 */
export async function* examineHost(options: ExamineOptions): AsyncGenerator<DoctorFinding> {
  const { config, signal } = options;
  const look = (name: string, work: () => Promise<DoctorFinding[]>) =>
    lookOrFail(name, signal, work);
  yield* await look('libvirt', () => checkLibvirt(options));
  yield* await look('qemu-img', () => checkQemuImg(config, signal));
  yield* await look('work directory', () => checkWorkDir(config, signal));
  yield* await look('space', () => checkSpace(config));
  yield* await look('registry', () => checkRegistry(options));
}
