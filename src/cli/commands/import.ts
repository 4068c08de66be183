// `virt-publish import`: publishes an existing image file, or one behind a URL.
import { resolve } from 'node:path';
import type { Command } from 'commander';
import {
  DISK_FORMATS,
  type DiskFormat,
  TARGET_FORMATS,
  type TargetFormat,
  type Visibility,
} from '../../core/model.ts';
import type { ImportOptions } from '../../operations/import/import-types.ts';
import type { SetExitCode } from '../exit-codes.ts';
import {
  addRegistryOptions,
  choiceOption,
  collect,
  collectProperty,
  type GlobalFlags,
  given,
  hashOption,
  type RegistryFlags,
  registryOverrides,
  visibilityOption,
} from '../options.ts';
import type { CommandContext, Product } from '../run-command.ts';
import { bytesValue, gibValue, mibValue } from '../values.ts';

type ImportFlags = GlobalFlags &
  RegistryFlags & {
    name?: string;
    alias?: string[];
    tag?: string[];
    property?: Record<string, string>;
    visibility?: Visibility;
    protected?: boolean;
    minDisk?: number;
    minRam?: number;
    hash?: string[];
    format?: DiskFormat;
    sha256?: string;
    convert?: TargetFormat;
    maxSize?: number;
    allowPrivate?: boolean;
    workDir?: string;
  };

export function addImportCommand(program: Command, setExitCode: SetExitCode): void {
  const command = program
    .command('import')
    .argument('<source>', 'a file, an http or https URL, or - for standard input')
    .summary('publish an existing image')
    .description(
      'Publishes an existing image: qcow2, raw, vmdk, vdi, vhdx or iso; .gz, .xz and .zst are unpacked.\nPrints the id of the image. Refuses images that refer to other files.',
    );
  addImageOptions(command);
  addRegistryOptions(command);
  command.action(async (source: string) => {
    const flags = command.optsWithGlobals<ImportFlags>();
    const { runCommand } = await import('../run-command.ts');
    const workDir = flags.workDir === undefined ? {} : { workDir: resolve(flags.workDir) };
    const frame = { flags, overrides: { ...registryOverrides(flags), ...workDir } };
    setExitCode(await runCommand(frame, (context) => bringIn(source, flags, context)));
  });
}

function addImageOptions(command: Command): void {
  command
    .optionsGroup('Image:')
    .option(
      '--name <name>',
      'name of the image (default: that of the file or URL, without endings)',
    )
    .option('--alias <alias>', 'let this alias point to the image (repeatable)', collect)
    .option('--tag <tag>', 'tag the image (repeatable)', collect)
    .option('--property <key=value>', 'give the image a property (repeatable)', collectProperty)
    .addOption(visibilityOption())
    .option('--protected', 'the image cannot be deleted until it is unprotected')
    .option('--min-disk <GiB>', 'least disk of a guest (default: its virtual size)', gibValue)
    .option('--min-ram <MiB>', 'least memory of a guest, such as 512 or 2G (default: 0)', mibValue)
    .addOption(hashOption())
    .addOption(
      choiceOption(
        '--format <format>',
        'format of the image, whatever its name says (default: from its bytes)',
        DISK_FORMATS,
      ),
    )
    .addOption(
      choiceOption(
        '--convert <format>',
        'convert it to this format (default: none)',
        TARGET_FORMATS,
      ),
    )
    .optionsGroup('Source:')
    .option('--sha256 <digest>', 'refuse bytes with another digest, before they are unpacked')
    .option(
      '--max-size <size>',
      'limit of the bytes fetched or unpacked, such as 20G (default: 128G)',
      bytesValue,
    )
    .option('--allow-private', 'allow URLs into private networks and to this host')
    .option(
      '--work-dir <dir>',
      'directory of the download and the conversion (default: runs in the state directory)',
    );
}

async function bringIn(
  source: string,
  flags: ImportFlags,
  { config, signal, onEvent }: CommandContext,
): Promise<Product> {
  const { importImage } = await import('../../operations/import/import-image.ts');
  const { name, visibility, format, sha256, convert, hash, allowPrivate } = flags;
  const options: ImportOptions = {
    ...{ source, signal, onEvent, workDir: config.workDir, registry: config.registry },
    ...given({
      name,
      visibility,
      format,
      sha256,
      convert,
      hash,
      allowPrivate,
      protected: flags.protected,
    }),
    ...given({ aliases: flags.alias, tags: flags.tag, properties: flags.property }),
    ...given({ minDiskGib: flags.minDisk, minRamMib: flags.minRam, maxBytes: flags.maxSize }),
  };
  const result = await importImage(options, config);
  return { text: result.image.id, json: { ...result } };
}
