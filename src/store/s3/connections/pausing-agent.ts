// Connections of plain http that pause before they are reused, since a server may wait for this kernel's ACK.
import { Agent } from 'node:http';
import type { Socket } from 'node:net';

/**
 * NOTE: Ceph's gateway sends the head and the body of an answer one after the other with Nagle's
 * algorithm on: the body waits until the head is acknowledged. Linux delays the ACK on a connection
 * that was written to within 40 ms of the last read, to send data along with it. Every answer with
 * a body then takes 40 ms longer.
 */
const PAUSE_MS = 45;

/** For plain http alone: with TLS a new connection costs more than the pause saves. */
export class PausingAgent extends Agent {
  override emit(event: string | symbol, ...args: unknown[]): boolean {
    const [socket] = args as [Socket];
    if (event !== 'free' || this.#isWaitedFor()) return super.emit(event, ...args);
    // It counts as in use meanwhile, and keeps no process alive: a request that waits has a deadline, which does.
    socket.unref();
    const wake = () => {
      socket.ref();
      super.emit(event, ...args);
    };
    setTimeout(wake, PAUSE_MS).unref();
    return true;
  }

  #isWaitedFor(): boolean {
    return Object.keys(this.requests).length > 0;
  }
}
