// One line of the doctor: what was looked at, how it is, and what cures it.
import type { Config } from '../../config/config.ts';
import type { ErrorCode } from '../../core/error-catalogue.ts';
import { codeOf, messageOf, PublishError } from '../../core/errors.ts';
import type { Registry } from '../../registry/registry.ts';

export interface DoctorOptions {
  config: Config;
  /** Name, UUID or id; every running domain where there are none. */
  domains: readonly string[];
  openRegistry(): Promise<Registry>;
  signal: AbortSignal;
}

export interface Finding {
  /** As `libvirt`, `qemu-img`, `work directory`. */
  name: string;
  state: 'ok' | 'warning' | 'failure';
  says: string;
  /** What to do; only beside a warning or a failure. */
  cure?: string;
  /** Of a failure: the error that a run would end with. */
  code?: ErrorCode;
}

export function ok(name: string, says: string): Finding {
  return { name, state: 'ok', says };
}

export function warning(name: string, says: string, cure: string): Finding {
  return { name, state: 'warning', says, cure };
}

export function failure(name: string, code: ErrorCode, says: string, cure: string): Finding {
  return { name, state: 'failure', says, cure, code };
}

/**
 * Returns the findings of `look`, or its error as a failure with the hint as its cure. An interrupt
 * is no finding.
 */
export async function lookOrFail(
  name: string,
  signal: AbortSignal,
  look: () => Promise<Finding[]>,
): Promise<Finding[]> {
  try {
    signal.throwIfAborted();
    return await look();
  } catch (error) {
    if (signal.aborted) throw error;
    const cure = error instanceof PublishError ? { cure: error.hint } : {};
    return [{ name, state: 'failure', says: messageOf(error), ...cure, code: codeOf(error) }];
  }
}
