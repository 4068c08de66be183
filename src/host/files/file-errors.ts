// Failures of the file system: what they mean to a registry.

import type { ErrorCode } from '../../core/error-catalogue.ts';
import { hasCode, messageOf, PublishError, type Step } from '../../core/errors.ts';

/** The answer, or `undefined` where the file or a folder above it is not there. */
export async function orMissing<T>(answer: Promise<T>): Promise<T | undefined> {
  try {
    return await answer;
  } catch (error) {
    if (hasCode(error, 'ENOENT', 'ENOTDIR', 'ELOOP')) return undefined;
    throw error;
  }
}

/** The value, or `undefined` where the text is no JSON (cut short by a crash, or somebody else's). */
export function parseJson(text: string): unknown {
  try {
    return JSON.parse(text);
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  }
}

/** The right that a user lacks who is denied. */
export type Need = 'read' | 'write';

/** A failure of the file system as one of ours; one of ours is passed through. */
export function fileError(
  error: unknown,
  doing: string,
  step: Step,
  need: Need = 'write',
): PublishError {
  if (error instanceof PublishError) return error;
  const [code, cure] = explain(error, step, need);
  return new PublishError(code, `${doing} failed: ${withoutDescriptors(messageOf(error))}${cure}`, {
    step,
    cause: error,
  });
}

// A path through an open folder says nothing to people but its last name.
function withoutDescriptors(text: string): string {
  return text.replaceAll(/\/proc\/(self|\d+)\/fd\/\d+\/?/g, '');
}

function explain(error: unknown, step: Step, need: Need): [ErrorCode, string] {
  if (hasCode(error, 'EEXIST')) return ['PRECONDITION_LOST', '; somebody else was first.'];
  if (hasCode(error, 'ENOSPC', 'EDQUOT')) return ['NO_SPACE', '; make room there.'];
  if (hasCode(error, 'EACCES', 'EPERM', 'EROFS')) {
    return ['REGISTRY', `; give this user the right to ${need} there.`];
  }
  return [step === 'upload' ? 'UPLOAD' : 'REGISTRY', '.'];
}
