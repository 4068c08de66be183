// `virt-publish update`: changes the fields of an image; each change is a new version of its record.
import type { Command } from 'commander';
import { VISIBILITIES, type Visibility } from '../../core/model.ts';
import type { ImageChanges } from '../../registry/record/image-changes.ts';
import type { SetExitCode } from '../exit-codes.ts';
import { choiceOption, collect, collectProperty, given, wholeNumber } from '../options.ts';
import { onRegistry, type RegistryContext, report } from '../registry-command.ts';
import type { Product } from '../run-command.ts';
import { gibValue, mibValue } from '../values.ts';

interface UpdateFlags {
  name?: string;
  tag?: string[];
  untag?: string[];
  property?: Record<string, string>;
  removeProperty?: string[];
  visibility?: Visibility;
  protected?: boolean;
  unprotected?: boolean;
  hidden?: boolean;
  visible?: boolean;
  minDisk?: number;
  minRam?: number;
  ifVersion?: number;
}

export function addUpdateCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('update')
    .argument('<image>', 'id (or its first 4 characters or more), alias or name')
    .summary('change the fields of an image')
    .description(
      'Changes the name, tags, properties and other fields of an image. Its data never changes.',
    )
    .optionsGroup('Changes:')
    .option('--name <name>', 'new name')
    .option('--tag <tag>', 'add this tag (repeatable)', collect)
    .option('--untag <tag>', 'remove this tag (repeatable)', collect)
    .option('--property <key=value>', 'set this property (repeatable)', collectProperty)
    .option('--remove-property <key>', 'remove this property (repeatable)', collect)
    .addOption(choiceOption('--visibility <who>', 'new visibility', VISIBILITIES))
    .option('--protected', 'protect it from deletion')
    .option('--unprotected', 'allow its deletion')
    .option('--hidden', 'leave it out of lists')
    .option('--visible', 'show it in lists')
    .option('--min-disk <GiB>', 'disk that a guest needs, such as 20 or 20G', gibValue)
    .option('--min-ram <MiB>', 'memory that a guest needs, such as 512 or 2G', mibValue)
    .option('--if-version <n>', 'fail unless the record is at this version', wholeNumber);
  onRegistry<UpdateFlags>(command, setExitCode, update);
}

async function update(context: RegistryContext, flags: UpdateFlags): Promise<Product> {
  const { registry, signal, args } = context;
  const changes = await toChanges(flags);
  const options = { signal, expectVersion: flags.ifVersion };
  const image = await registry.changeImage(args[0] ?? '', changes, options);
  report(context, `${image.id} (${image.name}) is at version ${image.version}`);
  return { text: '', json: { image } };
}

async function toChanges(flags: UpdateFlags): Promise<ImageChanges> {
  const { name, visibility, tag, untag, property, removeProperty, minDisk, minRam } = flags;
  const changes: ImageChanges = given({
    name,
    visibility,
    protected: oneOf(flags.protected, flags.unprotected),
    os_hidden: oneOf(flags.hidden, flags.visible),
    min_disk: minDisk,
    min_ram: minRam,
    addTags: tag,
    removeTags: untag,
    setProperties: property,
    removeProperties: removeProperty,
  });
  const isBoth = (flags.protected && flags.unprotected) || (flags.hidden && flags.visible);
  if (Object.keys(changes).length > 0 && !isBoth) return changes;
  const { PublishError } = await import('../../core/errors.ts');
  const message = isBoth
    ? '--protected and --unprotected, --hidden and --visible exclude each other'
    : 'no change was given';
  const hint = 'see virt-publish update --help';
  throw new PublishError('USAGE', message, { step: 'config', hint });
}

function oneOf(yes: boolean | undefined, no: boolean | undefined): boolean | undefined {
  if (yes === true) return true;
  return no === true ? false : undefined;
}
