// A guest agent that a test plays at the host's end of the channel, with answers that the test chooses.

import { chmod } from 'node:fs/promises';
import { createServer, type Server, type Socket } from 'node:net';
import { cleanUpLater } from './cleanup.ts';

/** Its reaction to a command: the `return` of its answer, an `error`, no answer, or the end of the connection. */
export type FakeAnswer = { return: unknown } | { error: string } | 'silence' | 'close' | 'garbage';

export class FakeAgent {
  readonly path: string;
  /** Answers by command; all others are answered like by a working agent. */
  readonly answers = new Map<string, FakeAnswer>();
  /** All commands that it received, without the handshakes. */
  readonly commands: string[] = [];
  /** Called before a command is answered. */
  onCommand: (command: string) => Promise<unknown> | undefined = () => undefined;
  readonly #server: Server;
  readonly #sockets = new Set<Socket>();

  private constructor(path: string) {
    this.path = path;
    this.#server = createServer((socket) => this.#serve(socket));
    cleanUpLater(this, () => this.end());
  }

  static async listen(path: string): Promise<FakeAgent> {
    const agent = new FakeAgent(path);
    await new Promise<void>((resolve) => agent.#server.listen(path, resolve));
    await chmod(path, 0o666);
    return agent;
  }

  /** XML of the channel that leads to it. */
  get channelXml(): string {
    return `<channel type='unix'><source mode='connect' path='${this.path}'/><target type='virtio' name='org.qemu.guest_agent.0'/></channel>`;
  }

  /** Ends like an agent that is killed. */
  async end(): Promise<void> {
    for (const socket of this.#sockets) socket.destroy();
    if (this.#server.listening) await new Promise((resolve) => this.#server.close(resolve));
  }

  #serve(socket: Socket): void {
    this.#sockets.add(socket);
    socket.on('error', () => socket.destroy());
    socket.on('close', () => this.#sockets.delete(socket));
    let text = '';
    // Like in the real agent, a command waits until the previous one is answered.
    let answered = Promise.resolve();
    socket.on('data', (data) => {
      text += data.toString('latin1').replaceAll('\xff', '');
      const lines = text.split('\n');
      text = lines.pop() ?? '';
      for (const line of lines.filter((each) => each.trim() !== ''))
        answered = answered.then(() => this.#answer(socket, line));
    });
  }

  async #answer(socket: Socket, line: string): Promise<void> {
    const { execute, arguments: given } = JSON.parse(line) as {
      execute: string;
      arguments?: { id?: number };
    };
    if (execute.startsWith('guest-sync')) {
      if (execute.endsWith('delimited')) socket.write(Buffer.from([0xff]));
      socket.write(`${JSON.stringify({ return: given?.id })}\n`);
      return;
    }
    this.commands.push(execute);
    await this.onCommand(execute);
    const answer = this.answers.get(execute) ?? WELL[execute] ?? { error: 'no such command' };
    if (answer === 'silence') return;
    if (answer === 'close') socket.destroy();
    else if (answer === 'garbage') socket.write('}{ \x01\x02\n');
    else if ('error' in answer) {
      const error = { class: 'GenericError', desc: answer.error };
      socket.write(`${JSON.stringify({ error })}\n`);
    } else socket.write(`${JSON.stringify({ return: answer.return })}\n`);
  }
}

const WELL: Record<string, FakeAnswer> = {
  'guest-ping': { return: {} },
  'guest-get-time': { return: 1_700_000_000_000_000_000 },
  'guest-set-time': { return: {} },
  'guest-fsfreeze-freeze': { return: 1 },
  'guest-fsfreeze-thaw': { return: 1 },
  'guest-fsfreeze-status': { return: 'thawed' },
};
