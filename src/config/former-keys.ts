// Keys that earlier versions had: a configuration that has one still is an error that names the new one. Pure.
import { variableOf } from './schema.ts';

interface FormerKey {
  /** The rest of a sentence with the key as its subject. */
  problem: string;
  hint: string;
}

const renamed = (key: string): FormerKey => ({
  problem: `is now ${key}`,
  hint: `rename it to ${key}, or ${variableOf(key.split('.'))} in the environment`,
});

const removed = (hint: string): FormerKey => ({ problem: 'is no longer a setting', hint });

const PRIORITY = removed(
  'remove it; for a lower priority run virt-publish under systemd-run or nice',
);
const POLL = removed('remove it; the interval is fixed');

const FORMER_KEYS: Readonly<Record<string, FormerKey>> = {
  'snapshot.atOnce': renamed('snapshot.maxConcurrent'),
  'timeouts.atOnceMs': renamed('timeouts.slotWaitMs'),
  convert: PRIORITY,
  'convert.nice': PRIORITY,
  'convert.ionice': PRIORITY,
  'timeouts.pollMs': POLL,
  'reserve.pollMs': POLL,
};

/** Returns what became of a key such as `snapshot.atOnce`; undefined if no version had it. */
export function formerKey(key: string): FormerKey | undefined {
  return Object.hasOwn(FORMER_KEYS, key) ? FORMER_KEYS[key] : undefined;
}

/** Returns what became of the key of a variable such as `VIRT_PUBLISH_SNAPSHOT_AT_ONCE`. */
export function formerVariable(name: string): FormerKey | undefined {
  const key = Object.keys(FORMER_KEYS).find((each) => variableOf(each.split('.')) === name);
  return key === undefined ? undefined : formerKey(key);
}
