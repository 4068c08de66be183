// Makes real domains for tests, each with a random name and its own folder; they are removed afterwards.
import { randomBytes, randomUUID } from 'node:crypto';
import { existsSync, readFileSync } from 'node:fs';
import { rm, writeFile } from 'node:fs/promises';
import { join } from 'node:path';
import { cleanUp, cleanUpLater } from './cleanup.ts';
import { type DiskShape, makeDataDisk, makeRootDisk, type TestDisk } from './disks.ts';
import { type DomainXmlOptions, domainXml } from './domain-xml.ts';
import { must, type Ran, run } from './exec.ts';
import { makeFolder } from './folders.ts';
import { GuestAgent } from './guest-agent.ts';
import { lab } from './lab.ts';
import { forgetDomain, recordDomain, UNDEFINE_FLAGS } from './leftovers.ts';
import { lastTick } from './ticks.ts';
import { waitFor } from './wait.ts';

type XmlChoices = Pick<
  DomainXmlOptions,
  | 'title'
  | 'metadata'
  | 'vncPassword'
  | 'mac'
  | 'memoryMib'
  | 'devices'
  | 'shareable'
  | 'uefi'
  | 'seclabel'
>;

export interface DomainOptions extends XmlChoices {
  /** A random suffix is appended; `vp-test-` if left out. */
  name?: string;
  /** `qcow2-on-raw` if left out. */
  shape?: DiskShape;
  /** Size of `vda`; the guest's file system keeps its size. */
  sizeMib?: number;
  /** Adds `vdb`. */
  secondDisk?: { format: 'qcow2' | 'raw'; sizeMib?: number };
  agent?: boolean | 'absent';
  autostart?: boolean;
  transient?: boolean;
  /** `running` if left out; the guest has booted then, also before it is paused. */
  state?: 'running' | 'paused' | 'off';
}

/** Makes a domain, and waits until its guest has booted. It is removed with its test file, or by `destroy`. */
export async function createDomain(options: DomainOptions = {}): Promise<TestDomain> {
  const dir = await makeFolder('vp-test');
  const disks = [await makeRootDisk(dir, options.shape ?? 'qcow2-on-raw', options.sizeMib)];
  if (options.secondDisk !== undefined) {
    disks.push(await makeDataDisk(dir, options.secondDisk.format, options.secondDisk.sizeMib));
  }
  return createDomainOn(dir, disks, options);
}

/** {@link createDomain} with existing disks; `dir` is removed with the domain. */
export async function createDomainOn(
  dir: string,
  disks: readonly TestDisk[],
  options: Omit<DomainOptions, 'shape' | 'sizeMib' | 'secondDisk'> = {},
): Promise<TestDomain> {
  const { kernel, initrd } = lab();
  const agent = options.agent ?? true;
  const name = `${options.name ?? 'vp-test-'}${randomBytes(5).toString('hex')}`;
  const uuid = randomUUID();
  const xml = domainXml({ ...options, name, uuid, dir, kernel, initrd, disks, agent });
  const xmlFile = join(dir, 'define.xml');
  await writeFile(xmlFile, xml, { mode: 0o600 });
  recordDomain(uuid, dir);
  const domain = new TestDomain(name, uuid, dir, disks, agent);
  await bringTo(domain, xmlFile, options);
  return domain;
}

async function bringTo(domain: TestDomain, xmlFile: string, options: DomainOptions): Promise<void> {
  const state = options.state ?? 'running';
  if (options.transient === true) {
    await virsh('create', xmlFile);
  } else {
    await virsh('define', xmlFile);
    if (options.autostart === true) {
      await domain.virsh('autostart');
    }
    if (state !== 'off') {
      await domain.virsh('start');
    }
  }
  if (state !== 'off') {
    await domain.waitUntilUp();
  }
  if (state === 'paused') {
    await domain.virsh('suspend');
  }
}

export class TestDomain {
  readonly name: string;
  readonly uuid: string;
  readonly dir: string;
  readonly disks: readonly TestDisk[];
  readonly agent: GuestAgent;
  /** Whether an agent answers in this guest when it runs. */
  readonly hasAgent: boolean;

  constructor(
    name: string,
    uuid: string,
    dir: string,
    disks: readonly TestDisk[],
    agent: boolean | 'absent',
  ) {
    this.name = name;
    this.uuid = uuid;
    this.dir = dir;
    this.disks = disks;
    this.agent = new GuestAgent((command, ...args) => this.virsh(command, ...args));
    this.hasAgent = agent === true;
    cleanUpLater(this, () => this.#remove());
  }

  /** virsh would read a name like `-x` as an option. */
  get #ref(): string {
    return this.name.startsWith('-') ? this.uuid : this.name;
  }

  /** Runs `virsh COMMAND NAME ARGS`; resolves to its output. @throws if virsh fails */
  virsh(command: string, ...args: string[]): Promise<string> {
    return virsh(command, this.#ref, ...args);
  }

  /** {@link virsh} with any exit code. */
  tryVirsh(command: string, ...args: string[]): Promise<Ran> {
    return run('virsh', ['-q', '-c', lab().uri, command, this.#ref, ...args]);
  }

  /** Waits for the guest's message on the console, and for its agent if it has one. */
  async waitUntilUp(timeoutMs = 60_000): Promise<void> {
    // Reading a file takes less processor time from the guest than a libvirt call.
    const isUp = async (): Promise<boolean> => this.console().includes('TINY-UP');
    await waitFor(`TINY-UP on the console of ${this.name}`, isUp, { timeoutMs });
    if (this.hasAgent) await this.agent.wait(timeoutMs);
  }

  /** The complete output of the guest's console since the domain was made. */
  console(): string {
    const file = join(this.dir, 'console.log');
    return existsSync(file) ? readFileSync(file, 'utf8') : '';
  }

  /** The value of the guest's counter, which grows by one per second. */
  async ticks(): Promise<number> {
    return lastTick(await this.agent.readFile('/data/ticks'));
  }

  /** Waits for the next tick: proof that the guest lives and can write to its disk. */
  async waitForTick(timeoutMs = 30_000): Promise<void> {
    const before = await this.ticks();
    await waitFor('the next tick', async () => (await this.ticks()) > before, { timeoutMs });
  }

  /** Output of `virsh domstate`: running, paused, shut off. */
  async state(): Promise<string> {
    return (await this.virsh('domstate')).trim();
  }

  /** The stored XML with its secrets, byte for byte. */
  inactiveXml(): Promise<string> {
    return this.virsh('dumpxml', '--inactive', '--security-info');
  }

  liveXml(): Promise<string> {
    return this.virsh('dumpxml');
  }

  /** One value of `virsh dominfo`: `Persistent` or `Autostart`, for example. */
  async info(field: string): Promise<string> {
    const lines = await this.virsh('dominfo');
    return new RegExp(`^${field}: +(.*)$`, 'm').exec(lines)?.[1]?.trim() ?? '';
  }

  /** virsh's output about a block job on that disk; null if there is none. */
  async blockJob(target = 'vda'): Promise<string | null> {
    const text = (await this.virsh('blockjob', target, '--info')).trim();
    return text === '' || text.startsWith('No current block job') ? null : text;
  }

  disk(target = 'vda'): TestDisk {
    const disk = this.disks.find((one) => one.target === target);
    if (disk === undefined) {
      throw new Error(`${this.name} has no disk ${target}`);
    }
    return disk;
  }

  diskPath(target = 'vda'): string {
    return this.disk(target).path;
  }

  /** Shuts the guest down through its agent, and waits until it is off. */
  async shutdown(timeoutMs = 60_000): Promise<void> {
    await this.virsh('shutdown', '--mode', 'agent');
    const isOff = async (): Promise<boolean> => (await this.state()) === 'shut off';
    await waitFor(`${this.name} to be off`, isOff, { timeoutMs });
  }

  /** Removes the domain with all its files, in any state. */
  destroy(): Promise<void> {
    return cleanUp(this);
  }

  async #remove(): Promise<void> {
    await this.tryVirsh('destroy');
    await this.tryVirsh('undefine', ...UNDEFINE_FLAGS);
    const left = await virsh('list', '--all', '--name');
    if (left.split('\n').includes(this.name)) {
      throw new Error(`${this.name} could not be removed`);
    }
    for (const disk of this.disks) {
      await disk.release();
    }
    await rm(this.dir, { recursive: true, force: true });
    forgetDomain(this.uuid);
  }
}

/** Runs virsh against the lab's libvirt. @throws if it fails */
export function virsh(...args: string[]): Promise<string> {
  return must('virsh', ['-q', '-c', lab().uri, ...args]);
}
