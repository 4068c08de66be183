// `virt-publish verify`: checks that images are still what was published.
import type { Command } from 'commander';
import { runStep } from '../../core/events.ts';
import type { Verified } from '../../registry/lifecycle/verify-image.ts';
import type { ImageRecord } from '../../registry/record/image.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { onRegistry, type RegistryContext } from '../registry-command.ts';
import type { Product } from '../run-command.ts';

interface VerifyFlags {
  all?: boolean;
  quick?: boolean;
}

export function addVerifyCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('verify')
    .argument('[images...]', 'ids (or their first 4 characters or more), aliases or names')
    .summary('read images back and compare them with their records')
    .description(
      'Reads data and artefacts back and compares size and sha256. A damaged image is deactivated,\nso that pull refuses it, and the exit code is 42. An image that was deactivated as damaged\nbecomes active again if it is undamaged. Volume snapshots are not checked.',
    )
    .option('--all', 'verify every active or deactivated image of the registry')
    .option(
      '--quick',
      'compare only sizes and ETags, and read nothing back; a different ETag is no damage',
    );
  onRegistry<VerifyFlags>(command, setExitCode, verify);
}

async function verify(context: RegistryContext, flags: VerifyFlags): Promise<Product> {
  const { PublishError } = await import('../../core/errors.ts');
  if ((flags.all === true) === context.args.length > 0) {
    const message =
      context.args.length > 0 ? 'images and --all exclude each other' : 'no image was named';
    const hint = 'name the images to verify, or use --all';
    throw new PublishError('USAGE', message, { step: 'config', hint });
  }
  const results: Verified[] = [];
  const unreadable: string[] = [];
  const onUnreadable = ({ message }: Error) => unreadable.push(message);
  for await (const image of imagesOf(context, flags, onUnreadable))
    results.push(await verifyOne(context, image, flags));
  const damaged = results.filter(({ problems }) => problems.length > 0);
  const { formatTable } = await import('../views/table.ts');
  const { printable } = await import('../views/format.ts');
  const rows = results.map((result) => [
    result.image.id,
    printable(result.image.name),
    result.image.status,
    printable(describe(result)),
  ]);
  const columns = [{ title: 'ID' }, { title: 'NAME' }, { title: 'STATUS' }, { title: 'RESULT' }];
  const images = results.map((verified) => {
    const { id, name, status } = verified.image;
    const { problems, doubts, unseen } = verified;
    return { id, name, status, result: resultOf(verified), problems, doubts, unseen };
  });
  const product = { text: formatTable(columns, rows), json: { images, unreadable } };
  if (damaged.length + unreadable.length === 0) return product;
  const message = failureMessage(damaged, { all: results.length, unreadable });
  const hint = 'publish damaged images again; the warnings name records that cannot be read';
  return { ...product, failure: new PublishError('INTEGRITY', message, { step: 'verify', hint }) };
}

/** The warning has named each record that cannot be read. */
function failureMessage(
  damaged: readonly Verified[],
  { all, unreadable }: { all: number; unreadable: readonly string[] },
): string {
  const records = `${unreadable.length} images have records that cannot be read`;
  if (damaged.length === 0) return records;
  const which = damaged.map(({ image }) => image.id).join(', ');
  const message = `${damaged.length} of ${all} images are damaged: ${which}`;
  return unreadable.length === 0 ? message : `${message}; ${records}`;
}

const STEP_WORDS: Record<Result, string> = { ok: 'ok', damaged: 'DAMAGED', unknown: 'unknown' };

type Result = 'ok' | 'damaged' | 'unknown';

function resultOf({ problems, doubts }: Verified): Result {
  if (problems.length > 0) return 'damaged';
  return doubts.length > 0 ? 'unknown' : 'ok';
}

function describe(verified: Verified): string {
  const { problems, doubts, unseen } = verified;
  const words: Record<Result, string> = {
    ok: 'ok',
    damaged: `damaged: ${problems.join('; ')}`,
    unknown: `unknown: ${doubts.join('; ')}; verify without --quick reads the data`,
  };
  const result = words[resultOf(verified)];
  return unseen.length === 0 ? result : `${result}; its volume snapshots are not checked`;
}

async function* imagesOf(
  { registry, signal, args }: RegistryContext,
  { all }: VerifyFlags,
  onUnreadable: (error: Error) => void,
): AsyncGenerator<ImageRecord> {
  for (const ref of args) yield await registry.getImage(ref, { signal });
  if (all !== true) return;
  for await (const image of registry.listImages({ signal, onUnreadable }))
    if (image.status === 'active' || image.status === 'deactivated') yield image;
}

async function verifyOne(
  { registry, signal, onEvent }: RegistryContext,
  image: ImageRecord,
  { quick }: VerifyFlags,
): Promise<Verified> {
  const { allObjects, totalSize } = await import('../../registry/record/image-objects.ts');
  const total = totalSize(allObjects(image));
  const onProgress = (bytes: number) => onEvent({ type: 'progress', step: 'verify', bytes, total });
  const verified = await runStep(
    onEvent,
    'verify',
    () => registry.verifyImage(image.id, { quick, signal, onProgress }),
    (found) => `${image.id} ${STEP_WORDS[resultOf(found)]}`,
  );
  const { problems, unmarked } = verified;
  if (unmarked !== null) {
    const [state, change] =
      problems.length > 0 ? ['damaged', 'deactivated'] : ['undamaged', 'activated'];
    const message = `${image.id} is ${state} but could not be ${change}: ${unmarked}`;
    onEvent({ type: 'note', level: 'warning', step: 'verify', message });
  } else if (image.status === 'deactivated' && verified.image.status === 'active') {
    const message = `${image.id} was deactivated as damaged; it is undamaged, and active again`;
    onEvent({ type: 'note', level: 'info', step: 'verify', message });
  }
  return verified;
}
