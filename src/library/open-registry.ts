// Opens a registry behind its public interface, with the same configuration as every operation.
import { Readable } from 'node:stream';
import { type Config, loadConfig } from '../config/config.ts';
import { PublishError } from '../core/errors.ts';
import { openConfigured } from '../registry/configured-registry.ts';
import type { Registry } from '../registry/registry.ts';
import type { ImageRegistry } from './image-registry.ts';
import { eachWithPublicErrors, withPublicErrors } from './public-errors.ts';
import type {
  CallOptions,
  ImageStream,
  OpenRegistryOptions,
  ReadImageOptions,
} from './registry-options.ts';

/** The registries behind the interface: a copy needs both of them. */
const behind = new WeakMap<ImageRegistry, Registry>();

/**
 * Opens a registry: `s3://bucket/prefix`, `file:///directory` or the path of a directory; that of the
 * configuration if left out. Makes no request.
 * @throws PublishError USAGE, CONFIG
 */
export function openRegistry(
  url?: string,
  options: OpenRegistryOptions = {},
  config?: Config,
): Promise<ImageRegistry> {
  return withPublicErrors(undefined, async () => {
    const settings = config ?? (await loadConfig());
    const { s3, uploadRateMib, onEvent } = options;
    const registry = await openConfigured(settings, {
      ...{ url: url ?? settings.registry, s3: { ...settings.s3, ...s3 }, onEvent },
      ...(uploadRateMib === undefined ? {} : { rateMib: uploadRateMib }),
    });
    return publicRegistry(registry);
  });
}

function publicRegistry(registry: Registry): ImageRegistry {
  const facade: ImageRegistry = {
    url: registry.url,
    checkAccess: (options) => call(options, (o) => registry.checkAccess(o)),
    getImage: (image, options) => call(options, (o) => registry.getImage(image, o)),
    listImages: (options) => each(options, (o) => registry.listImages(o)),
    queryImages: (query, options) => call(options, (o) => registry.queryImages(query, o)),
    pullImage: (image, file, options) => call(options, (o) => registry.pullImage(image, file, o)),
    readImage: (image, options) => openStream(registry, image, options),
    presignImage: (image, options) => call(options, (o) => registry.presignImage(image, o)),
    changeImage: (image, changes, options) =>
      call(options, (o) => registry.changeImage(image, changes, o)),
    deactivateImage: (image, options) => call(options, (o) => registry.deactivateImage(image, o)),
    reactivateImage: (image, options) => call(options, (o) => registry.reactivateImage(image, o)),
    verifyImage: (image, options) => call(options, (o) => registry.verifyImage(image, o)),
    deleteImage: (image, options) => call(options, (o) => registry.deleteImage(image, o)),
    copyImage: (image, target, options) =>
      call(options, (o) => registry.copyImage(image, registryBehind(target), o)),
    pruneImages: (policy, options) => call(options, (o) => registry.pruneImages(policy, o)),
    collectGarbage: (options) => each(options, (o) => registry.collectGarbage(o)),
    setAlias: (alias, imageId, options) =>
      call(options, (o) => registry.setAlias(alias, imageId, o)),
    removeAlias: (alias, options) => call(options, (o) => registry.removeAlias(alias, o)),
    resolveAlias: (alias, options) => call(options, (o) => registry.resolveAlias(alias, o)),
    aliasLog: (alias, options) => call(options, (o) => registry.aliasLog(alias, o)),
    rollbackAlias: (alias, options) => call(options, (o) => registry.rollbackAlias(alias, o)),
    listAliases: (options) => each(options, (o) => registry.listAliases(o)),
  };
  behind.set(facade, registry);
  return facade;
}

type WithSignal<O> = O & { signal: AbortSignal };

function call<O extends CallOptions, T>(
  options: O | undefined,
  work: (options: WithSignal<O>) => Promise<T>,
): Promise<T> {
  return withPublicErrors(options?.signal, (signal) =>
    work({ ...(options as O), signal } as WithSignal<O>),
  );
}

function each<O extends CallOptions, T>(
  options: O | undefined,
  list: (options: WithSignal<O>) => AsyncIterable<T>,
): AsyncIterable<T> {
  return eachWithPublicErrors(options?.signal, (signal) =>
    list({ ...(options as O), signal } as WithSignal<O>),
  );
}

async function openStream(
  registry: Registry,
  ref: string,
  options: ReadImageOptions = {},
): Promise<ImageStream> {
  const { signal: caller, ...choice } = options;
  const { image, object } = await withPublicErrors(caller, (signal) =>
    registry.readImage(ref, { ...choice, signal }),
  );
  const chunks = eachWithPublicErrors(caller, (signal) =>
    readChunks(registry, image.id, { ...choice, signal }),
  );
  return { image, object, stream: Readable.from(chunks, { objectMode: false }) };
}

/** Reads under the signal of the stream: that of the call which opened it has ended. */
async function* readChunks(
  registry: Registry,
  id: string,
  options: Omit<ReadImageOptions, 'signal'> & { signal: AbortSignal },
): AsyncGenerator<Uint8Array> {
  const { chunks } = await registry.readImage(id, options);
  yield* chunks;
}

function registryBehind(registry: ImageRegistry): Registry {
  const found = behind.get(registry);
  if (found !== undefined) return found;
  throw new PublishError('USAGE', 'the target of a copy was not opened by openRegistry', {
    ...{ step: 'copy', hint: 'open it with openRegistry' },
  });
}
