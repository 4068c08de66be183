// A full file system has one error code, whatever the work was that needed room.

import { describe, expect, it } from 'vitest';
import { exitCodeOf } from '#built/cli/exit-codes.js';
import { failureJson, failureText } from '#built/cli/failure.js';
import { styleFor } from '#built/cli/views/style.js';
import { ERROR_CATALOGUE } from '#built/core/error-catalogue.js';
import { codeOf, PublishError } from '#built/core/errors.js';
import { LibvirtError } from '#built/libvirt/errors.js';

const errno = (code: string) => Object.assign(new Error(`${code}: write`), { code });
/** As libvirt 9.0 says it of a managed save. */
const saying = (end: string) =>
  new LibvirtError({
    ...{ code: 9, domain: 10, call: 'virDomainManagedSave' },
    message: `operation failed: libvirt_iohelper: failure with /x: Unable to write /x: ${end}`,
  });

describe('NO_SPACE', () => {
  for (const [what, cause] of [
    ['ENOSPC', errno('ENOSPC')],
    ['a quota', errno('EDQUOT')],
    ['what libvirt says', saying('No space left on device')],
    ['what libvirt says of a quota', saying('Disk quota exceeded')],
    ['a cause below the cause', new Error('failed', { cause: errno('ENOSPC') })],
    ['an error that has the code', new PublishError('NO_SPACE', 'x')],
  ] as const)
    it(`is the code of an error whose cause is ${what}`, () => {
      for (const code of ['MANAGED_SAVE', 'WORK_DIR', 'CHAIN', 'VOLUMES', 'INTERNAL'] as const)
        expect(new PublishError(code, 'x', { cause }).code).toBe('NO_SPACE');
      expect(codeOf(cause)).toBe('NO_SPACE');
      expect(exitCodeOf(cause)).toBe(31);
      expect(failureJson(cause)).toMatchObject({ code: 'NO_SPACE', exitCode: 31 });
    });

  it('does not replace GUEST_NOT_RESTORED, INTERRUPTED and the codes of the registry', () => {
    const cause = errno('ENOSPC');
    for (const code of [
      'GUEST_NOT_RESTORED',
      'INTERRUPTED',
      'UPLOAD',
      'REGISTRY',
      'USAGE',
    ] as const)
      expect(new PublishError(code, 'x', { cause }).code).toBe(code);
  });

  it('is not the code of other errors', () => {
    expect(new PublishError('MANAGED_SAVE', 'x', { cause: saying('I/O error') }).code).toBe(
      'MANAGED_SAVE',
    );
    expect(new PublishError('WORK_DIR', 'x', { cause: errno('EACCES') }).code).toBe('WORK_DIR');
    expect(codeOf(errno('EIO'))).toBe('INTERNAL');
  });

  it('is the code of a system error that is no PublishError', () => {
    const text = failureText(errno('ENOSPC'), styleFor({ isTTY: false }));
    expect(text).toBe(`virt-publish: ENOSPC: write\nhint: ${ERROR_CATALOGUE.NO_SPACE.hint}\n`);
  });
});
