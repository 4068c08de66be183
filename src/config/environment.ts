// The part of the configuration in the environment: VIRT_PUBLISH_* and libvirt's URI.
import { PublishError } from '../core/errors.ts';
import { formerVariable } from './former-keys.ts';
import type { ConfigLayer } from './layers.ts';
import { describeAllowed, listSettings, readSchema, type Setting } from './schema.ts';

const PREFIX = 'VIRT_PUBLISH_';

/** Variables of tests and scripts, which are no settings. */
const IGNORED = /^VIRT_PUBLISH_(TEST|LAB)(_|$)/;

const UNKNOWN_HINT =
  'unset it; `virt-publish config show` lists the settings, and snapshot.format is VIRT_PUBLISH_SNAPSHOT_FORMAT';

/**
 * One layer for each variable that is set; an empty one counts as not set. Lists are
 * comma-separated, booleans `true` or `false`.
 * @throws PublishError CONFIG for a VIRT_PUBLISH_ variable that is not a setting, or has a wrong type
 */
export function environmentLayers(env: NodeJS.ProcessEnv): ConfigLayer[] {
  const uri = env.LIBVIRT_DEFAULT_URI;
  const libvirt = uri ? [{ source: 'LIBVIRT_DEFAULT_URI', values: { connect: uri } }] : [];
  const set = Object.entries(env).filter(
    ([name, value]) => name.startsWith(PREFIX) && !IGNORED.test(name) && value,
  );
  if (set.length === 0) return libvirt;
  const settings = new Map(
    listSettings(readSchema()).map((setting) => [setting.variable, setting]),
  );
  return [...libvirt, ...set.map(([name, value]) => toLayer(settings, name, value ?? ''))];
}

function toLayer(settings: ReadonlyMap<string, Setting>, name: string, text: string): ConfigLayer {
  const setting = settings.get(name);
  if (setting === undefined) {
    const former = formerVariable(name);
    const message = `${name} ${former?.problem ?? 'is not a setting of virt-publish'}`;
    const hint = former?.hint ?? UNKNOWN_HINT;
    throw new PublishError('CONFIG', message, { step: 'config', hint });
  }
  const value = parse(setting, text);
  const values = setting.path.reduceRight<unknown>((below, key) => ({ [key]: below }), value);
  return { source: name, values };
}

function parse(setting: Setting, text: string): unknown {
  const types = [setting.node.type ?? 'string'].flat();
  if (types.includes('array')) return text.split(',').map((item) => item.trim());
  if (types.includes('boolean') && /^(true|false)$/.test(text)) return text === 'true';
  if (types.includes('integer') || types.includes('number')) {
    const number = Number(text);
    if (text.trim() !== '' && Number.isFinite(number)) return number;
  }
  if (types.includes('string')) return text;
  const message = `${setting.variable}: ${setting.path.join('.')} must be ${describeAllowed(setting.node)}, not ${JSON.stringify(text)}`;
  const hint = `correct the value, or unset ${setting.variable}`;
  throw new PublishError('CONFIG', message, { step: 'config', hint });
}
