// The thread behind one connection: takes calls one by one, makes them in C, and answers.
import { parentPort, workerData } from 'node:worker_threads';
import { isAbandoned, reportLoaded, type ThreadState } from '../host/native/thread-end.ts';
import type { LibvirtErrorFields } from './errors.ts';
import { assertNoNul, CallFailure } from './ffi/check.ts';
import { connectionCalls } from './ffi/connection-calls.ts';
import { domainCalls } from './ffi/domain-calls.ts';
import { guestCalls } from './ffi/guest-calls.ts';
import { Handles } from './ffi/handles.ts';
import type { Method, Reply, Request, WorkerApi } from './ffi/protocol.ts';
import { storageCalls } from './ffi/storage-calls.ts';

// NOTE: no libvirt event loop is registered, on purpose. Without one libvirt sends no keepalive
// and expects none, delivers no events, and starts no thread of its own; so each call here is one
// request and one answer on this thread. The price: a libvirtd that hangs is noticed only by the
// caller's own deadline (`callTimeoutMs`), and the end of a job is seen by polling.

const handles = new Handles();
const api: WorkerApi = {
  ...connectionCalls(handles),
  ...storageCalls(handles),
  ...domainCalls(handles),
  ...guestCalls(handles),
};

const state: ThreadState = workerData;

parentPort?.on('message', (request: Request) => {
  // A call whose caller was told that it failed must not be made after all.
  if (isAbandoned(state)) parentPort?.close();
  else parentPort?.postMessage(answer(request));
});
reportLoaded(state);

function answer({ id, method, args }: Request): Reply {
  try {
    assertNoNul(method, args);
    // The map of calls pairs each method with its arguments; the pair came in as one.
    const call = api[method] as (...args: unknown[]) => ReturnType<WorkerApi[Method]>;
    return { id, ok: true, value: call(...args) };
  } catch (error) {
    return { id, ok: false, error: fieldsOf(error, method) };
  }
}

/** A mistake of this package's own (code 0) is told like an error of libvirt, not swallowed. */
function fieldsOf(error: unknown, method: Method): LibvirtErrorFields {
  if (error instanceof CallFailure) return error.fields;
  return { code: 0, domain: 0, call: method, message: String(error) };
}
