// Connections of plain http that rest a moment before they are used again, since a server may wait for our kernel.
import { Agent } from 'node:http';
import type { Socket } from 'node:net';

/**
 * NOTE: Ceph's gateway sends the head of an answer and its body one after the other with Nagle's
 * algorithm on: the body waits until the head is acknowledged. Linux does that at once, unless it
 * hopes to send it along with data of its own, which it does where a connection was written to
 * within 40 ms of what came last: then every answer that has a body takes those 40 ms longer.
 */
const REST_MS = 45;

/** With TLS such servers are seldom reached directly, and a new connection costs much more. */
export class RestedAgent extends Agent {
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const [socket] = args as [Socket];
    if (event !== 'free' || this.#isWaitedFor()) return super.emit(event, ...args);
    // It counts as in use meanwhile, but holds no process: whoever asks next has a deadline, which does.
    socket.unref();
    const wake = () => {
      socket.ref();
      super.emit(event, ...args);
    };
    setTimeout(wake, REST_MS).unref();
    return true;
  }

  #isWaitedFor(): boolean {
    return Object.keys(this.requests).length > 0;
  }
}
