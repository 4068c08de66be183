// Looks up what a shell completes from the host and the registry: domains, images, aliases, runs, words.
import type { Config } from '../../config/config.ts';
import type { Candidate, DynamicKind } from './next-word.ts';

/** A registry may hold more; the rest is not completed. */
const MOST_IMAGES = 10_000;

export interface DynamicOptions {
  config: Config;
  /** What the value begins with: ids are only given if it could be one. */
  prefix: string;
  signal: AbortSignal;
}

/** Returns the values of one kind. @throws what libvirt or the registry throws */
export function dynamicValues(kind: DynamicKind, options: DynamicOptions): Promise<Candidate[]> {
  return FINDERS[kind](options);
}

const FINDERS: Readonly<Record<DynamicKind, (options: DynamicOptions) => Promise<Candidate[]>>> = {
  domain: findDomains,
  image: findImages,
  alias: findAliases,
  run: findRuns,
  word: findWords,
};

async function findDomains({ config }: DynamicOptions): Promise<Candidate[]> {
  const { openConnection } = await import('../../libvirt/connection.ts');
  const limits = { callTimeoutMs: config.timeouts.libvirtMs };
  const connection = await openConnection(config.connect, limits);
  try {
    const domains = await connection.listAllDomains();
    return domains.map(({ name }) => ({ value: name, description: 'domain' }));
  } finally {
    await connection.close();
  }
}

/** Names that only one image has; and ids, if the prefix can be that of one. */
async function findImages(options: DynamicOptions): Promise<Candidate[]> {
  const registry = await openRegistry(options);
  const { signal, prefix } = options;
  const { images } = await registry.queryImages({ limit: MOST_IMAGES }, { signal });
  const names = countOf(images.map(({ name }) => name));
  const ids = /^[0-9a-f][0-9a-f-]*$/.test(prefix) ? images : [];
  return [
    ...images
      .filter(({ name }) => name !== '' && names.get(name) === 1)
      .map(({ id, name }) => ({ value: name, description: `image ${id}` })),
    ...ids.map(({ id, name }) => ({ value: id, description: `image ${name}` })),
  ];
}

async function findAliases(options: DynamicOptions): Promise<Candidate[]> {
  const registry = await openRegistry(options);
  const found: Candidate[] = [];
  for await (const { alias, image_id } of registry.listAliases({ signal: options.signal }))
    if (image_id !== null) found.push({ value: alias, description: `alias of ${image_id}` });
  return found;
}

async function findRuns({ config }: DynamicOptions): Promise<Candidate[]> {
  const { listRuns } = await import('../../recovery/recover.ts');
  const runs = await listRuns(config);
  return runs.map(({ runId, state, domain }) => {
    return { value: runId, description: `run, ${state}, of ${domain?.name ?? 'no domain'}` };
  });
}

async function findWords(): Promise<Candidate[]> {
  const { knownWords } = await import('../../explain/explain.ts');
  return knownWords().map((value) => ({ value, description: '' }));
}

async function openRegistry({ config, signal }: DynamicOptions) {
  const { openConfiguredRegistry } = await import('../open-registry.ts');
  return openConfiguredRegistry({ config, signal, onEvent: () => undefined });
}

function countOf(names: readonly string[]): Map<string, number> {
  const counts = new Map<string, number>();
  for (const name of names) counts.set(name, (counts.get(name) ?? 0) + 1);
  return counts;
}
