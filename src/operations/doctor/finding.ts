// One finding of the doctor: what was checked, its state, and what to do about it.
import type { Config } from '../../config/config.ts';
import { ERROR_CATALOGUE, type ErrorCode } from '../../core/error-catalogue.ts';
import { codeOf, messageOf, PublishError } from '../../core/errors.ts';
import type { Registry } from '../../registry/registry.ts';

export interface ExamineOptions {
  config: Config;
  /** Names, UUIDs or ids; every running domain if empty. */
  domains: readonly string[];
  openRegistry(): Promise<Registry>;
  signal: AbortSignal;
}

/** The result of one check of `doctor`. */
export interface DoctorFinding {
  /** `libvirt`, `qemu-img`, `work directory`… */
  name: string;
  state: 'ok' | 'warning' | 'failure';
  /** What was found, in one line. */
  detail: string;
  /** What to do, in one line; a warning or a failure has it. */
  hint?: string;
  /** For a failure: the code of the error that a run would fail with. */
  code?: ErrorCode;
}

export function ok(name: string, detail: string): DoctorFinding {
  return { name, state: 'ok', detail };
}

export function warning(name: string, detail: string, hint: string): DoctorFinding {
  return { name, state: 'warning', detail, hint };
}

export function failure(
  name: string,
  code: ErrorCode,
  detail: string,
  hint: string,
): DoctorFinding {
  return { name, state: 'failure', detail, hint, code };
}

/** Returns what the check found, or its error as a failure. An interrupt is thrown. */
export async function lookOrFail(
  name: string,
  signal: AbortSignal,
  look: () => Promise<DoctorFinding[]>,
): Promise<DoctorFinding[]> {
  try {
    signal.throwIfAborted();
    return await look();
  } catch (error) {
    if (signal.aborted) throw error;
    const code = codeOf(error);
    const hint = error instanceof PublishError ? error.hint : ERROR_CATALOGUE[code].hint;
    return [failure(name, code, messageOf(error), hint)];
  }
}
