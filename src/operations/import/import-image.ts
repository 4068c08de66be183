// One import from start to end: an existing image becomes one of the registry.
import { randomUUID } from 'node:crypto';
import { join } from 'node:path';
import { type Config, loadConfig } from '../../config/config.ts';
import { runStep } from '../../core/events.ts';
import { ignoreRejection } from '../../core/ignore-rejection.ts';
import type { TargetFormat } from '../../core/model.ts';
import type { Inspected } from '../../formats/inspect-image.ts';
import { checkImage, flatten } from '../../image/flatten.ts';
import { qemuFormat } from '../../qemu/qemu-img.ts';
import { pointAliases } from '../../registry/aliases/point-aliases.ts';
import { openConfigured } from '../../registry/configured-registry.ts';
import { hashFields, minDiskGib, withQueuedImage } from '../../registry/queued-image.ts';
import type { Registry } from '../../registry/registry.ts';
import { withScratchFolder } from '../../run/journal/scratch-folder.ts';
import { fileSource } from '../../transfer/upload/file-source.ts';
import { type BroughtFile, withBroughtFile } from './bring-file.ts';
import { checkSpace } from './check-space.ts';
import { examine } from './examine.ts';
import { decideImport, type ImportSettings } from './import-settings.ts';
import type { ImportOptions, ImportResult } from './import-types.ts';
import { checkNames } from './name-claims.ts';

/**
 * Imports one image. If it rejects, no image is active, and no file of it is left; a record that was
 * written already has status `killed` and the reason.
 * @throws PublishError; IMAGE_REFUSED for an image that is refused, DOWNLOAD for a URL that fails
 */
export async function importImage(options: ImportOptions, config?: Config): Promise<ImportResult> {
  const settings = decideImport(options, config ?? (await loadConfig()));
  const registry = await openFor(settings);
  return besideCheck(registry, settings, (access) =>
    withScratchFolder(settings.workDir, 'import', (folder) =>
      bringIn(settings, registry, { folder, access }),
    ),
  );
}

/** `access` resolves when the registry answers; awaited before anything large is written. */
async function bringIn(
  settings: ImportSettings,
  registry: Registry,
  { folder, access }: { folder: string; access: Promise<void> },
): Promise<ImportResult> {
  return withBroughtFile(settings, { folder, access }, async (brought, limited) => {
    const inspected = await runStep(
      settings.onEvent,
      'inspect',
      () => inspect(brought, limited),
      ({ format, virtualSize }) => `${format}, ${virtualSize} bytes`,
    );
    await access;
    registry.prepareUpload();
    return publishBrought(limited, registry, { folder, brought, inspected });
  });
}

/** @throws what `examine` throws; IMAGE_REFUSED if a name contradicts the bytes and no format was given */
async function inspect(brought: BroughtFile, settings: ImportSettings): Promise<Inspected> {
  const inspected = await examine(brought.path, settings);
  const { removed, names } = brought;
  const { format } = inspected;
  if (settings.format === undefined) checkNames(names, { removed, format });
  return inspected;
}

async function publishBrought(
  settings: ImportSettings,
  registry: Registry,
  { folder, brought, inspected }: { folder: string; brought: BroughtFile; inspected: Inspected },
): Promise<ImportResult> {
  const { convert } = settings;
  const format = convert ?? inspected.format;
  await checkSpace(settings, registry, { brought, inspected });
  const id = randomUUID();
  const fields = recordFields(settings, { id, format, inspected });
  return withQueuedImage(registry, fields, settings.onEvent, async () => {
    const path = join(folder, 'converted');
    const file =
      convert === undefined || convert === inspected.format
        ? brought
        : await convertFile(settings, { brought, inspected, path, format: convert });
    return publish(settings, registry, { id, format, file, brought });
  });
}

async function openFor({ registry, config, onEvent }: ImportSettings): Promise<Registry> {
  return openConfigured(config, { url: registry, s3: config.s3, onEvent, writes: true });
}

/** Checks the registry while the image is inspected. If both fail, the error is that of the image. */
async function besideCheck<T>(
  registry: Registry,
  { signal }: ImportSettings,
  work: (access: Promise<void>) => Promise<T>,
): Promise<T> {
  const over = new AbortController();
  const access = registry.checkAccess({ signal: AbortSignal.any([signal, over.signal]) });
  try {
    return await work(ignoreRejection(access));
  } finally {
    over.abort();
  }
}

function recordFields(
  settings: ImportSettings,
  { id, format, inspected }: { id: string; format: Inspected['format']; inspected: Inspected },
) {
  const { name, visibility, tags, properties, minRamMib } = settings;
  return {
    ...{ id, name, visibility, protected: settings.protected },
    disk_format: format,
    tags: [...tags],
    properties: { ...properties },
    virtual_size: inspected.virtualSize,
    min_disk: settings.minDiskGib ?? minDiskGib(inspected.virtualSize),
    min_ram: minRamMib,
  };
}

interface Conversion {
  brought: BroughtFile;
  inspected: Inspected;
  path: string;
  format: TargetFormat;
}

/** NOTE: with an empty chain QEMU opens no other file, even if the header names one. */
async function convertFile(
  settings: ImportSettings,
  { brought, inspected, path, format }: Conversion,
): Promise<BroughtFile> {
  const { config, onEvent, signal } = settings;
  const { timeouts } = config;
  const shared = { target: { path, format }, timeouts, onEvent, signal };
  const { virtualSize } = inspected;
  await flatten({
    ...shared,
    source: { path: brought.path, format: qemuFormat(inspected.format), backingChain: [] },
    isScratch: false,
    virtualSize,
    compress: 'none',
  });
  await checkImage(shared);
  return { ...brought, path, isScratch: true };
}

async function publish(
  settings: ImportSettings,
  registry: Registry,
  work: { id: string; format: Inspected['format']; file: BroughtFile; brought: BroughtFile },
): Promise<ImportResult> {
  const { onEvent, signal, hash } = settings;
  const { id, format, file, brought } = work;
  const name = `disk.${format}`;
  // Before a scratch file is moved away; a file of the user stays, and is checked again below.
  await brought.assertUnchanged();
  const source = await fileSource(file.path);
  const { digests, size } = await runStep(onEvent, 'upload', async () => {
    await registry.markSaving(id);
    return registry.uploadData(id, name, source, {
      hash,
      ...(file.isScratch ? { moveFrom: file.path } : {}),
      signal,
      onProgress: (bytes) =>
        onEvent({ type: 'progress', step: 'upload', bytes, total: source.size }),
    });
  });
  if (!file.isScratch) await brought.assertUnchanged();
  const image = await runStep(onEvent, 'activate', () => {
    signal.throwIfAborted();
    const data = { name, size, sha256: digests.sha256 };
    return registry.activateImage(id, { data, ...hashFields(digests) });
  });
  return { image, aliases: await pointAliases(registry, id, settings.aliases, onEvent) };
}
