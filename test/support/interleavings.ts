// Two actors on one store whose requests are let through one by one, in every order that can matter.
import type { ObjectStore } from '#built/store/object-store.js';

/** One request of an actor, held until it is its turn. */
interface GuestHoldControl {
  /** Keys or a prefix that it reads or writes. */
  keys: readonly string[];
  kind: 'list' | 'read' | 'write';
  go(): Promise<void>;
}

interface Actor {
  held: GuestHoldControl[];
  isDone: boolean;
  requests: number;
}

export interface Schedule {
  /** Which of the two makes each request, as far as it is laid down; then the first while it can. */
  choices: readonly number[];
  /** The actor that makes no request any more after so many: its process died. */
  death?: { actor: number; after: number };
}

type Work = (store: ObjectStore) => Promise<unknown>;

/** What became of both; undefined for one that died. */
export type Outcome = readonly (PromiseSettledResult<unknown> | undefined)[];

/**
 * Runs both works on `store` as laid down. `next` are the schedules to try after it: with this one's,
 * all that differ in the order of two requests if one of them writes what the other reads or writes.
 */
export async function runSchedule(
  store: ObjectStore,
  works: readonly [Work, Work],
  { choices, death }: Schedule,
): Promise<{ outcome: Outcome; next: Schedule[]; requests: readonly number[] }> {
  const actors = works.map((): Actor => ({ held: [], isDone: false, requests: 0 }));
  const results: (PromiseSettledResult<unknown> | undefined)[] = [undefined, undefined];
  works.forEach((work, index) => {
    const actor = actors[index] as Actor;
    void Promise.allSettled([work(gate(store, actor))]).then(([result]) => {
      results[index] = result;
      actor.isDone = true;
    });
  });
  const isDead = (index: number) =>
    death?.actor === index && (actors[index]?.requests ?? 0) >= death.after;
  const isOut = (index: number) => actors[index]?.isDone === true || isDead(index);
  const next: Schedule[] = [];
  const made: number[] = [];
  let firstSleeps = false;
  for (;;) {
    await until(() => actors.every((actor, index) => isOut(index) || actor.held.length > 0));
    if (isOut(0) && isOut(1)) break;
    const [first, second] = actors.map((actor, index) =>
      isOut(index) ? undefined : actor.held[0],
    );
    const laidDown = choices[made.length];
    if (laidDown === undefined && first && second && !firstSleeps && death === undefined)
      next.push({ choices: [...made, 1] });
    const isFirst = second === undefined || (first !== undefined && laidDown !== 1 && !firstSleeps);
    // What the first would do now it has done before in another schedule, unless this changes it.
    if (!isFirst) firstSleeps = first !== undefined && !depend(first, second);
    const index = isFirst ? 0 : 1;
    const actor = actors[index] as Actor;
    const held = actor.held.shift() as GuestHoldControl;
    actor.requests += 1;
    made.push(index);
    if (isFirst) firstSleeps = false;
    await held.go();
  }
  return { outcome: results, next, requests: actors.map(({ requests }) => requests) };
}

function depend(a: GuestHoldControl, b: GuestHoldControl): boolean {
  if (a.kind !== 'write' && b.kind !== 'write') return false;
  const [writer, other] = a.kind === 'write' ? [a, b] : [b, a];
  return writer.keys.some((key) =>
    other.keys.some((each) => (other.kind === 'list' ? key.startsWith(each) : key === each)),
  );
}

/** The store as one actor sees it. */
function gate(store: ObjectStore, actor: Actor): ObjectStore {
  const hold = <T>(
    kind: GuestHoldControl['kind'],
    keys: readonly string[],
    work: () => Promise<T>,
  ) =>
    new Promise<T>((resolve, reject) => {
      actor.held.push({
        kind,
        keys,
        go: async () => {
          const [result] = await Promise.allSettled([work()]);
          if (result.status === 'fulfilled') resolve(result.value);
          else reject(result.reason);
        },
      });
    });
  const gated: Partial<ObjectStore> = {
    create: (key, ...rest) => hold('write', [key], () => store.create(key, ...rest)),
    remove: (keys, ...rest) => hold('write', keys, () => store.remove(keys, ...rest)),
    read: (key, ...rest) => hold('read', [key], () => store.read(key, ...rest)),
    stat: (key, ...rest) => hold('read', [key], () => store.stat(key, ...rest)),
    async *list(prefix, ...rest) {
      yield* await hold('list', [prefix], () => collect(store.list(prefix, ...rest)));
    },
    async *listPages(prefix, ...rest) {
      yield* await hold('list', [prefix], () => collect(store.listPages(prefix, ...rest)));
    },
    async *listFolders(prefix, ...rest) {
      yield* await hold('list', [prefix], () => collect(store.listFolders(prefix, ...rest)));
    },
  };
  return new Proxy(store, {
    get: (target, name) => {
      const own = gated[name as keyof ObjectStore];
      if (own !== undefined) return own;
      const value: unknown = Reflect.get(target, name, target);
      return typeof value === 'function' ? value.bind(target) : value;
    },
  });
}

async function until(condition: () => boolean): Promise<void> {
  while (!condition()) await new Promise((resolve) => setImmediate(resolve));
}

async function collect<T>(items: AsyncIterable<T>): Promise<T[]> {
  const all: T[] = [];
  for await (const item of items) all.push(item);
  return all;
}
