// The messages between the main thread and a connection's worker.
import type { LibvirtErrorFields } from '../errors.ts';
import type { Args, Method, Result } from './calls.ts';

/** One call, with the arguments of its method. */
export type Request = { [M in Method]: { id: number; method: M; args: Args<M> } }[Method];

/** The worker's answer; `value` has the result type of the method that was called. */
export type Reply =
  | { id: number; ok: true; value: Result<Method> }
  | { id: number; ok: false; error: LibvirtErrorFields };

/** Makes one call through a worker; rejects with `LibvirtError` or `PublishError` LIBVIRT. */
export type Invoke = <M extends Method>(method: M, ...args: Args<M>) => Promise<Result<M>>;
