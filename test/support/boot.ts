// Boots an image to prove that it boots.
import { join } from 'node:path';
import { createDomainOn, type TestDomain } from './domains.ts';
import { must } from './exec.ts';
import { makeFolder } from './folders.ts';

/** Boots a copy of the image as a throw-away domain, and waits until its agent answers. */
export async function bootImage(path: string, format: string): Promise<TestDomain> {
  const dir = await makeFolder('vp-test-boot');
  const copy = join(dir, 'disk.qcow2');
  await must('qemu-img', ['convert', '-f', format, '-O', 'qcow2', path, copy]);
  const disk = {
    target: 'vda',
    type: 'file',
    path: copy,
    format: 'qcow2',
    backing: [],
    release: () => Promise.resolve(),
  } as const;
  return createDomainOn(dir, [disk], { transient: true });
}
