// The flags of what a new image is called and who may use it, which snapshot and volume-snapshot share.
import type { Command } from 'commander';
import type { SnapshotOptions } from '../operations/snapshot/snapshot-types.ts';
import { collect, collectProperty, given, visibilityOption } from './options.ts';

/** The values of these flags as commander returns them. */
export interface ImageFlags {
  name?: string;
  alias?: string[];
  tag?: string[];
  property?: Record<string, string>;
  visibility?: NonNullable<SnapshotOptions['visibility']>;
  protected?: boolean;
}

export function addImageOptions(command: Command): Command {
  return command
    .optionsGroup('Image:')
    .option('--name <name>', 'name of the image (default: domain and time)')
    .option('--alias <alias>', 'let this alias point to the image (repeatable)', collect)
    .option('--tag <tag>', 'tag the image (repeatable)', collect)
    .option('--property <key=value>', 'give the image a property (repeatable)', collectProperty)
    .addOption(visibilityOption())
    .option('--protected', 'the image cannot be deleted until it is unprotected');
}

/** Returns the flags that were given, under the names of the library's options. */
export function imageOptions(flags: ImageFlags) {
  const { name, alias, tag, property, visibility, protected: isProtected } = flags;
  return {
    ...given({ name, visibility, protected: isProtected }),
    ...given({ aliases: alias, tags: tag, properties: property }),
  };
}
