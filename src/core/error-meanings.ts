// What each error code means, in words that hold for any host; exit codes and image records use them.
import { codeOf, type ErrorCode, PublishError } from './errors.ts';

/** Codes with the same exit code have the same meaning. */
export const ERROR_MEANINGS: Readonly<Record<ErrorCode, string>> = {
  INTERNAL: 'internal error',
  USAGE: 'wrong usage or configuration',
  CONFIG: 'wrong usage or configuration',
  DOMAIN_NOT_FOUND: 'domain not found',
  DOMAIN_BUSY: 'domain busy with another run or block job',
  DISK_UNSUPPORTED: 'disk cannot be taken',
  LIBVIRT: 'libvirt cannot be reached, or refused',
  MIRROR: 'mirror failed, stalled or never converged',
  QUIESCE: 'guest could not be quiesced',
  MANAGED_SAVE: 'managed save failed',
  CHAIN: 'chain not shortened; it reads as before',
  CHAIN_IN_USE: 'somebody else needs a layer as it is',
  QEMU_IMG: 'qemu-img failed or is missing',
  SYSPREP: 'virt-sysprep failed or is missing',
  VOLUMES: 'snapshot of the volumes failed',
  NO_SPACE: 'no space left',
  WORK_DIR: 'work directory cannot be used',
  IMAGE_NOT_FOUND: 'image not found, or its status forbids it',
  IMAGE_STATUS: 'image not found, or its status forbids it',
  UPLOAD: 'upload failed',
  INTEGRITY: 'data is not what it should be',
  PRECONDITION_LOST: 'another client was first',
  REGISTRY: 'registry cannot be reached, or refuses',
  IMAGE_REFUSED: 'image refused, or its URL unreachable',
  DOWNLOAD: 'image refused, or its URL unreachable',
  GUEST_NOT_RESTORED: 'GUEST COULD NOT BE PUT BACK',
  INTERRUPTED: 'interrupted; all was undone',
};

/**
 * Returns what an image's record may say of an error: `MIRROR (mirror): mirror failed, stalled or
 * never converged`. Everybody who reads the registry can read it, so the error's own message, which
 * names paths, hosts and processes, is not part of it.
 */
export function publicReason(error: unknown): string {
  const known = error instanceof PublishError && error.step !== undefined;
  const code = codeOf(error);
  const step = known ? ` (${error.step})` : '';
  return `${code}${step}: ${ERROR_MEANINGS[code]}`;
}
