// The deadline of a guest that is frozen or paused, which holds even if a call hangs.
import { PublishError } from '../core/errors.ts';
import { ignoreRejection } from '../core/ignore-rejection.ts';
import type { Host } from '../libvirt/host.ts';

export interface HoldDeadline {
  host: Pick<Host, 'abandonWork'>;
  ms: number;
  /** Thaws or resumes the guest on another connection than the one of the call that hangs. */
  release?: () => Promise<void>;
}

/**
 * Runs `work`, which holds a guest. At the deadline it releases the guest and abandons the
 * work connection, since every undo on it would wait behind the call that hangs.
 * @throws PublishError LIBVIRT at the deadline; what `work` throws.
 */
export async function withHoldDeadline<T>(
  { host, ms, release }: HoldDeadline,
  work: () => Promise<T>,
): Promise<T> {
  let timer: NodeJS.Timeout | undefined;
  const late = new Promise<never>((_, reject) => {
    const end = async () => {
      try {
        await release?.();
      } finally {
        await host.abandonWork();
      }
    };
    timer = setTimeout(
      () =>
        void end().then(
          () => reject(hung(ms)),
          () => reject(hung(ms)),
        ),
      ms,
    );
  });
  try {
    return await Promise.race([ignoreRejection(work()), ignoreRejection(late)]);
  } finally {
    clearTimeout(timer);
  }
}

function hung(ms: number): PublishError {
  const message = `the guest was held for longer than ${ms} ms: libvirt or a file system does not answer`;
  return new PublishError('LIBVIRT', message, {
    step: 'quiesce',
    retryable: true,
    hint: 'read the log of libvirtd and check the storage, then run it again',
  });
}
