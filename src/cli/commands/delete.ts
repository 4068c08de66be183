// `virt-publish delete`: removes images and their data from a registry.
import type { Command } from 'commander';
import { messageOf, PublishError } from '../../core/errors.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface DeleteFlags {
  force?: boolean;
}

export function addDeleteCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('delete')
    .argument('<images...>', 'ids (or their first 4 characters or more), aliases or names')
    .summary('delete images')
    .description(
      'Deletes images and their data. An image that cannot be deleted does not stop the others.\nProtected images stay.',
    )
    .option('--force', 'delete it although an alias points to it, or its record cannot be read');
  onRegistry<DeleteFlags>(command, setExitCode, deleteImages);
}

async function deleteImages(context: RegistryContext, flags: DeleteFlags): Promise<Product> {
  const { args, signal } = context;
  const deleted: string[] = [];
  const errors: PublishError[] = [];
  for (const ref of args) {
    try {
      deleted.push(await deleteImage(context, ref, flags));
    } catch (error) {
      if (signal.aborted || !(error instanceof PublishError)) throw error;
      errors.push(error);
    }
  }
  const product = { text: '', json: { deleted } };
  return errors.length === 0 ? product : { ...product, failure: failureOf(errors, args.length) };
}

async function deleteImage(
  context: RegistryContext,
  ref: string,
  { force = false }: DeleteFlags,
): Promise<string> {
  const { registry, signal } = context;
  const image = await registry.deleteImage(ref, { force, signal });
  report(context, `deleted ${image.id} (${image.name})`);
  return image.id;
}

/** The error of the first, with those of the others in its message. */
function failureOf(errors: readonly PublishError[], all: number): PublishError {
  const [first] = errors;
  if (first !== undefined && all === 1) return first;
  const { code = 'INTERNAL', step = 'registry', retryable = false } = first ?? {};
  const message = `${errors.length} of ${all} images are not deleted: ${errors.map(messageOf).join('; ')}`;
  const hint = first?.hint ?? 'see the message';
  return new PublishError(code, message, { step, retryable, hint });
}
