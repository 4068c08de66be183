// Hands pieces to the threads that compress, and tells when each is done.
import type { MessagePort } from 'node:worker_threads';
import type { PieceToCompress } from './compressors.ts';

interface Lane {
  port: MessagePort;
  /** Pieces that it has and did not give back. */
  pieces: number;
}

export class CompressorQueue {
  readonly #lanes: readonly Lane[];
  /** By the slot of the piece. */
  readonly #waiting = new Map<number, () => void>();

  constructor(ports: readonly MessagePort[]) {
    this.#lanes = ports.map((port) => ({ port, pieces: 0 }));
    for (const lane of this.#lanes) lane.port.on('message', (slot) => this.#settle(lane, slot));
  }

  /** Resolves when the slot's piece is compressed; there is one piece a slot at a time. */
  compress(piece: PieceToCompress): Promise<void> {
    const lane = this.#lanes.reduce((best, each) => (each.pieces < best.pieces ? each : best));
    lane.pieces += 1;
    return new Promise((resolve) => {
      this.#waiting.set(piece.slot, resolve);
      lane.port.postMessage(piece);
    });
  }

  close(): void {
    for (const { port } of this.#lanes) port.close();
  }

  #settle(lane: Lane, slot: number): void {
    lane.pieces -= 1;
    this.#waiting.get(slot)?.();
    this.#waiting.delete(slot);
  }
}
