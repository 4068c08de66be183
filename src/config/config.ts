// The configuration: defaults, files, environment and flags, laid over each other and checked.
import { join } from 'node:path';
import type {
  Compression,
  MirrorMethod,
  QuiescePolicy,
  SnapshotMode,
  TargetFormat,
  Visibility,
} from '../core/model.ts';
import { valueAt } from '../core/schema-error.ts';
import { defaultRegistry, usualStateDir, xdgFolder } from './directories.ts';
import { environmentLayers } from './environment.ts';
import { type ConfigLayer, overlay, readLayer } from './layers.ts';
import { listSettings, readConfigAsset, readSchema } from './schema.ts';
import { withoutUnits } from './units.ts';
import { validateLayers } from './validate.ts';

/** All settings. config/schema.json describes each, config/default.json has the defaults. */
export interface Config {
  connect: string;
  stateDir: string;
  workDir: string;
  managedSaveDir: string;
  registry: string;
  registryMode: string | null;
  s3: {
    endpoint: string | null;
    region: string | null;
    profile: string | null;
    pathStyle: boolean | null;
    caFile: string | null;
  };
  snapshot: {
    mode: SnapshotMode;
    method: MirrorMethod;
    format: TargetFormat;
    compress: Compression;
    quiesce: QuiescePolicy;
    hash: readonly ('md5' | 'sha512')[];
    bandwidthMib: number;
    maxConcurrent: number;
    visibility: Visibility;
  };
  sysprep: { operations: string };
  upload: {
    partSizeMib: number;
    concurrency: number;
    rateMib: number;
    retries: number;
    retryMinMs: number;
    retryMaxMs: number;
  };
  import: {
    maxBytes: number;
    maxVirtualBytes: number;
    downloadMs: number;
  };
  timeouts: {
    libvirtMs: number;
    slotWaitMs: number;
    mirrorMs: number;
    mirrorStallMs: number;
    freezeMs: number;
    windowsFreezeMs: number;
    managedSaveMs: number;
    cloneMs: number;
    convertMs: number;
    detachMs: number;
    checkMs: number;
    sysprepMs: number;
    partMs: number;
    requestMs: number;
  };
  reserve: { minBytes: number; fraction: number };
}

/** Any part of the configuration; missing keys come from the layers below. */
export type ConfigOverrides = {
  [Group in keyof Config]?: Config[Group] extends string ? string : Partial<Config[Group]>;
};

/** Where the configuration comes from. */
export interface ConfigSources {
  /** The environment with VIRT_PUBLISH_*, XDG_* and LIBVIRT_DEFAULT_URI; that of the process if left out. */
  env?: NodeJS.ProcessEnv;
  /** Read after the system's and the user's file; they must exist. */
  files?: readonly string[];
  /** Values of flags; they win over everything else. */
  overrides?: ConfigOverrides;
}

/** The configuration as files may set it: a directory that is null is below the state directory. */
type Unresolved = Omit<Config, 'stateDir' | 'workDir' | 'registry'> & {
  [Key in 'stateDir' | 'workDir' | 'registry']: string | null;
};

/**
 * Defaults < /etc/virt-publish/config.json < $XDG_CONFIG_HOME/virt-publish/config.json < `files` <
 * LIBVIRT_DEFAULT_URI < VIRT_PUBLISH_* < `overrides`.
 * @throws PublishError CONFIG naming the place, the key and what is allowed there.
 */
export async function loadConfig(sources: ConfigSources = {}): Promise<Config> {
  return merge(await readLayers(sources), sources.env ?? process.env);
}

/** A setting with its key, its value, and its source. */
export interface SettingInForce {
  key: string;
  value: unknown;
  /** `default`, the path of a file, the name of a variable, or a flag. */
  source: string;
}

/**
 * Returns all settings in the order of the schema. A directory that no source names has the value
 * derived from the others.
 * @throws what `loadConfig` throws
 */
export async function explainConfig(sources: ConfigSources = {}): Promise<SettingInForce[]> {
  const layers = await readLayers(sources);
  const config = merge(layers, sources.env ?? process.env);
  return listSettings(readSchema()).map(({ path }) => {
    const layer = layers.findLast(({ values }) => valueAt(values, path) !== undefined);
    const flag = `--${path.at(-1)?.replace(/[A-Z]/g, (letter) => `-${letter.toLowerCase()}`)}`;
    const source = layer?.source === COMMAND_LINE ? flag : (layer?.source ?? 'default');
    return { key: path.join('.'), value: valueAt(config, path), source };
  });
}

const COMMAND_LINE = 'the command line';

/** Returns the checked layers that set something, the one that wins last. */
async function readLayers({ env = process.env, files = [], overrides }: ConfigSources) {
  const given = [
    ...(await readFiles(env, files)),
    ...environmentLayers(env),
    ...(overrides === undefined || Object.keys(overrides).length === 0
      ? []
      : [{ source: COMMAND_LINE, values: overrides }]),
  ];
  const schema = given.length > 0 ? readSchema() : {};
  const layers = given.map((layer) => withoutUnits(layer, schema));
  validateLayers(layers);
  return layers;
}

function merge(layers: readonly ConfigLayer[], env: NodeJS.ProcessEnv): Config {
  const values = layers.map((layer) => layer.values);
  return resolveDirectories([readConfigAsset('default.json'), ...values].reduce(overlay), env);
}

async function readFiles(env: NodeJS.ProcessEnv, files: readonly string[]): Promise<ConfigLayer[]> {
  const own = xdgFolder(env, 'XDG_CONFIG_HOME', '.config');
  const usual = ['/etc/virt-publish/config.json', join(own, 'virt-publish/config.json')];
  const read = await Promise.all([
    ...usual.map((path) => readLayer(path, true)),
    ...files.map((path) => readLayer(path, false)),
  ]);
  return read.filter((layer) => layer !== null);
}

function resolveDirectories(merged: unknown, env: NodeJS.ProcessEnv): Config {
  const values = merged as Unresolved;
  const stateDir = values.stateDir ?? usualStateDir(env);
  const workDir = values.workDir ?? join(stateDir, 'runs');
  const registry = values.registry ?? defaultRegistry(stateDir);
  return { ...values, stateDir, workDir, registry };
}
