// Talks to the agent inside a test guest, through virsh.
import type { Ran } from './exec.ts';
import { waitFor } from './wait.ts';

/** Runs virsh with the domain's name after the command. */
export type Virsh = (command: string, ...args: string[]) => Promise<string>;

interface ExecStatus {
  exited: boolean;
  exitcode?: number;
  'out-data'?: string;
  'err-data'?: string;
}

export class GuestAgent {
  readonly #virsh: Virsh;

  constructor(virsh: Virsh) {
    this.#virsh = virsh;
  }

  /** Sends one command of the QEMU guest agent's protocol; resolves to its `return`. */
  async call(
    execute: string,
    callArguments: Record<string, unknown> = {},
    timeoutS = 10,
  ): Promise<unknown> {
    const command = JSON.stringify({ execute, arguments: callArguments });
    const answer = await this.#virsh('qemu-agent-command', command, '--timeout', `${timeoutS}`);
    return (JSON.parse(answer) as { return: unknown }).return;
  }

  /** Waits until the agent answers. */
  async wait(timeoutMs = 60_000): Promise<void> {
    const ping = (): Promise<boolean> =>
      this.call('guest-ping', {}, 1).then(
        () => true,
        () => false,
      );
    await waitFor('the guest agent', ping, { timeoutMs });
  }

  /** Whether the guest's file systems are frozen; the agent rejects most commands then. */
  async frozen(): Promise<boolean> {
    return (await this.call('guest-fsfreeze-status')) === 'frozen';
  }

  /** Runs a program in the guest, to its end. */
  async exec(path: string, ...arg: string[]): Promise<Ran> {
    const started = await this.call('guest-exec', { path, arg, 'capture-output': true });
    const { pid } = started as { pid: number };
    const status = await waitFor(`${path} in the guest`, async () => {
      const seen = (await this.call('guest-exec-status', { pid })) as ExecStatus;
      return seen.exited && seen;
    });
    return {
      exitCode: status.exitcode ?? null,
      stdout: decode(status['out-data']),
      stderr: decode(status['err-data']),
    };
  }

  /** Writes a file in the guest and waits until it is on the disk. */
  async writeFile(path: string, text: string): Promise<void> {
    const handle = await this.call('guest-file-open', { path, mode: 'w' });
    const content = Buffer.from(text).toString('base64');
    await this.call('guest-file-write', { handle, 'buf-b64': content });
    await this.call('guest-file-flush', { handle });
    await this.call('guest-file-close', { handle });
    await this.exec('/bin/sync');
  }

  async readFile(path: string): Promise<string> {
    const handle = await this.call('guest-file-open', { path, mode: 'r' });
    const pieces: Buffer[] = [];
    let eof = false;
    while (!eof) {
      const answer = await this.call('guest-file-read', { handle, count: 65_536 });
      const piece = answer as { 'buf-b64': string; eof: boolean };
      pieces.push(Buffer.from(piece['buf-b64'], 'base64'));
      eof = piece.eof;
    }
    await this.call('guest-file-close', { handle });
    return Buffer.concat(pieces).toString();
  }

  /** Stops the agent's process (SIGSTOP): from then on a call hangs until libvirt's limit. */
  async hang(): Promise<void> {
    const script = '(sleep 0.3; killall -STOP qemu-ga) &';
    await this.call('guest-exec', { path: '/bin/sh', arg: ['-c', script] });
    await waitFor('the agent to hang', () =>
      this.call('guest-ping', {}, 1).then(
        () => false,
        () => true,
      ),
    );
  }
}

function decode(base64: string | undefined): string {
  return Buffer.from(base64 ?? '', 'base64').toString();
}
