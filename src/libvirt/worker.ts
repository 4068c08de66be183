// The thread of one connection: receives calls, makes them in C one after the other, posts the results.
import { parentPort, workerData } from 'node:worker_threads';
import { isAbandoned, reportLoaded, type ThreadState } from '../host/native/thread-end.ts';
import type { LibvirtErrorFields } from './errors.ts';
import { assertNoNul, CallFailure, CSession } from './ffi/c-session.ts';
import { type Method, makeCall } from './ffi/calls.ts';
import type { Reply, Request } from './ffi/protocol.ts';

// NOTE: no libvirt event loop is registered, on purpose. Without one libvirt sends no keepalive
// and expects none, delivers no events, and starts no thread of its own; so each call here is one
// request and one answer on this thread. The price: only the caller's deadline (`callTimeoutMs`)
// detects a libvirtd that hangs, and only polling detects the end of a job.

const session = new CSession();
const state: ThreadState = workerData;

parentPort?.on('message', (request: Request) => {
  // The caller was given an error for this call, so it must not be made any more.
  if (isAbandoned(state)) parentPort?.close();
  else parentPort?.postMessage(answer(request));
});
reportLoaded(state);

function answer({ id, method, args }: Request): Reply {
  try {
    assertNoNul(method, args);
    return { id, ok: true, value: makeCall(session, method, args) };
  } catch (error) {
    return { id, ok: false, error: fieldsOf(error, method) };
  }
}

/** A defect of this package is reported like an error of libvirt, with code 0. */
function fieldsOf(error: unknown, method: Method): LibvirtErrorFields {
  if (error instanceof CallFailure) return error.fields;
  return { code: 0, domain: 0, call: method, message: String(error) };
}
