// Turns errors of the file system into those of a registry.
import type { ErrorCode } from '../../core/error-catalogue.ts';
import { hasCode, messageOf, PublishError, type Step } from '../../core/errors.ts';
import { isMissing } from './own-folders.ts';

/** Resolves as `answer` does, or to `undefined` if the file or a folder above it does not exist. */
export async function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (isMissing(error)) return undefined;
    throw error;
  }
}

/** Returns the value, or `undefined` if the text is no JSON, as when a crash has cut it short. */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The permission that this user lacks after a denial. */
export type Need = 'read' | 'write';

/** Returns a PublishError for an error of the file system; a PublishError is returned unchanged. */
export function fileError(
  error: unknown,
  doing: string,
  step: Step,
  need: Need = 'write',
): PublishError {
  if (error instanceof PublishError) return error;
  const { code, hint } = explain(error, step, need);
  const message = `${doing} failed: ${withoutDescriptors(messageOf(error))}`;
  return new PublishError(code, message, { step, cause: error, ...(hint ? { hint } : {}) });
}

// In a path through an open folder only the last name is of use.
function withoutDescriptors(text: string): string {
  return text.replaceAll(/\/proc\/(self|\d+)\/fd\/\d+\/?/g, '');
}

function explain(error: unknown, step: Step, need: Need): { code: ErrorCode; hint?: string } {
  if (hasCode(error, 'EEXIST')) return { code: 'PRECONDITION_LOST' };
  if (hasCode(error, 'ENOSPC', 'EDQUOT'))
    return { code: 'NO_SPACE', hint: 'free some space in the registry' };
  if (hasCode(error, 'EACCES', 'EPERM', 'EROFS'))
    return { code: 'REGISTRY', hint: `give this user the permission to ${need} there` };
  if (step === 'upload') return { code: 'UPLOAD' };
  return { code: 'REGISTRY', hint: 'check the path of the registry and its storage' };
}
