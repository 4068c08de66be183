// The libvirt room against the real libvirtd and QEMU: calls, errors, handles, block jobs, managed save.
import { execFile } from 'node:child_process';
import { randomBytes, randomUUID } from 'node:crypto';
import { chmod, mkdtemp, rm } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { promisify } from 'node:util';
import { afterAll, afterEach, beforeAll, beforeEach, describe, expect, test } from 'vitest';
import { type Connection, openConnection } from '#built/libvirt/connection.js';
import type { Domain } from '#built/libvirt/domain.js';
import { isLibvirtError, VIR_ERR } from '#built/libvirt/errors.js';
import {
  VIR_DOMAIN_BLOCK_COPY_REUSE_EXT,
  VIR_DOMAIN_BLOCK_COPY_SHALLOW,
  VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB,
  VIR_DOMAIN_BLOCK_JOB_TYPE,
  VIR_DOMAIN_BLOCK_REBASE_COPY,
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT,
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW,
  VIR_DOMAIN_XML_INACTIVE,
  VIR_DOMAIN_XML_SECURE,
} from '#built/libvirt/ffi/constants.js';
import { findDomain } from '#built/libvirt/find-domain.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

const run = promisify(execFile);
const URI = process.env.LIBVIRT_DEFAULT_URI ?? 'qemu:///system';
// Flags and numbers of libvirt-domain.h that only this file needs.
const VIR_DOMAIN_START_PAUSED = 1;
const VIR_DOMAIN_SHUTOFF_SAVED = 5;
const VIR_DOMAIN_UNDEFINE_MANAGED_SAVE = 1;
const VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA = 2;
const SECURE = VIR_DOMAIN_XML_INACTIVE | VIR_DOMAIN_XML_SECURE;
const REBASE =
  VIR_DOMAIN_BLOCK_REBASE_COPY |
  VIR_DOMAIN_BLOCK_REBASE_REUSE_EXT |
  VIR_DOMAIN_BLOCK_REBASE_SHALLOW;

let connection: Connection;
let dir: string;

beforeAll(async () => {
  connection = await openConnection(URI, { callTimeoutMs: 120_000 });
});

afterAll(() => connection.close());

beforeEach(async () => {
  dir = await mkdtemp(join(tmpdir(), 'virt-publish-libvirt-'));
  // QEMU runs as a user of its own, who has to walk through.
  await chmod(dir, 0o711);
});

const made: Domain[] = [];

afterEach(async () => {
  const ignore = (error: unknown): void => expect(isLibvirtError(error)).toBe(true);
  for (const domain of made.splice(0)) {
    await virsh('destroy', domain).catch(() => undefined);
    const flags = VIR_DOMAIN_UNDEFINE_MANAGED_SAVE | VIR_DOMAIN_UNDEFINE_SNAPSHOTS_METADATA;
    await domain.undefineFlags(flags).catch(ignore);
  }
  await rm(dir, { recursive: true, force: true });
});

describe('the connection', () => {
  test('`getLibVersion` and `getVersion` return the versions of libvirt and QEMU', async () => {
    expect(await connection.getLibVersion()).toBeGreaterThan(5_010_000);
    expect(await connection.getVersion()).toBeGreaterThan(4_000_000);
  });

  test('a lookup of a missing domain rejects with error 42 and the name of the C function', async () => {
    await expect(connection.lookupByName(newName())).rejects.toMatchObject({
      name: 'LibvirtError',
      code: VIR_ERR.NO_DOMAIN,
      domain: 10,
      call: 'virDomainLookupByName',
    });
    await expect(connection.lookupByUUIDString(randomUUID())).rejects.toMatchObject({
      code: VIR_ERR.NO_DOMAIN,
      call: 'virDomainLookupByUUIDString',
    });
    await expect(connection.lookupByID(999_999_999)).rejects.toMatchObject({
      code: VIR_ERR.NO_DOMAIN,
      call: 'virDomainLookupByID',
    });
    await expect(connection.lookupByUUIDString('no-uuid')).rejects.toMatchObject({
      code: VIR_ERR.INVALID_ARG,
    });
  });

  test('a lookup rejects a name with a NUL and does not find the domain with the shorter name', async () => {
    const { name } = await define();
    await expect(connection.lookupByName(`${name}\0x`)).rejects.toMatchObject({
      code: VIR_ERR.INVALID_ARG,
    });
  });

  test('`defineXML` rejects malformed XML with the code of libvirt', async () => {
    await expect(connection.defineXML('<domain>')).rejects.toMatchObject({
      code: VIR_ERR.XML_DETAIL,
      call: 'virDomainDefineXMLFlags',
    });
  });

  test('`close` waits for pending calls; later calls reject with LIBVIRT', async () => {
    const other = await openConnection(URI);
    const pending = other.getLibVersion();
    await Promise.all([other.close(), other.close()]);
    expect(await pending).toBeGreaterThan(0);
    await expect(other.getLibVersion()).rejects.toMatchObject({ code: 'LIBVIRT' });
    await other.close();
  });

  test('a hundred concurrent failing calls on two connections each reject with their own error', async () => {
    const other = await openConnection(URI);
    const { uuid } = await define({ start: true });
    const calls = Array.from({ length: 100 }, async (_, index) => {
      const from = index % 2 === 0 ? connection : other;
      const domain = await from.lookupByUUIDString(uuid);
      if (index % 4 < 2) return caught(from.lookupByName(`missing-${index}`));
      return caught(domain.blockJobInfo(`disk-${index}`));
    });
    const errors = await Promise.all(calls);
    await other.close();
    const reported = errors.map((error, index) =>
      isLibvirtError(error) && error.message.includes(`-${index}'`) ? error.code : String(error),
    );
    expect(reported).toEqual(
      Array.from({ length: 100 }, (_, index) =>
        index % 4 < 2 ? VIR_ERR.NO_DOMAIN : VIR_ERR.INVALID_ARG,
      ),
    );
  });
});

describe('a domain', () => {
  test('`findDomain` finds a domain by name, UUID and id; the error for an unknown one lists close names', async () => {
    const domain = await define({ start: true });
    const id = /<domain [^>]*id='(\d+)'/.exec(await domain.getXMLDesc(0))?.[1] ?? '';
    for (const ref of [domain.name, domain.uuid, domain.uuid.replaceAll('-', ''), id]) {
      expect((await findDomain(connection, ref)).uuid).toBe(domain.uuid);
    }
    const wrong = `${domain.name}x`;
    await expect(findDomain(connection, wrong)).rejects.toMatchObject({
      code: 'DOMAIN_NOT_FOUND',
      message: `no domain "${wrong}" at ${URI}`,
      hint: expect.stringContaining(`"${domain.name}"`),
    });
    await expect(findDomain(connection, '')).rejects.toMatchObject({ code: 'DOMAIN_NOT_FOUND' });
    await expect(findDomain(connection, 'a\0b')).rejects.toMatchObject({
      code: 'DOMAIN_NOT_FOUND',
    });
  });

  test('a domain whose name has special characters is found, and its XML contains that name', async () => {
    const name = `${newName()} ;"d' & grün 猫`;
    const domain = await define({ name });
    expect(domain.name).toBe(name);
    expect((await findDomain(connection, name)).uuid).toBe(domain.uuid);
    expect(parseDomainXml(await domain.getXMLDesc(SECURE)).name).toBe(name);
    expect((await connection.listAllDomains()).map((one) => one.name)).toContain(name);
  });

  test('a running domain is undefined and redefined with the same XML; autostart has to be set again', async () => {
    const domain = await define({ start: true });
    await domain.setAutostart(true);
    expect(await domain.getAutostart()).toBe(true);
    const xml = await domain.getXMLDesc(SECURE);
    expect(xml).toContain("passwd='hunter2'");

    await domain.undefineFlags(0);
    expect([await domain.isPersistent(), await domain.isActive()]).toEqual([false, true]);
    await connection.defineXML(xml);
    expect([await domain.isPersistent(), await domain.isActive()]).toEqual([true, true]);
    expect(await domain.getXMLDesc(SECURE)).toBe(xml);
    expect(await domain.getAutostart()).toBe(false);
    await domain.setAutostart(true);
    expect(await domain.getAutostart()).toBe(true);
  });

  test('a domain is paused and resumed; calls on a domain that is off reject with OPERATION_INVALID', async () => {
    const domain = await define();
    expect(await domain.getState()).toMatchObject({ state: 'shutoff' });
    await domain.createWithFlags(VIR_DOMAIN_START_PAUSED);
    expect(await domain.getState()).toMatchObject({ state: 'paused' });
    await domain.resume();
    expect(await domain.getState()).toMatchObject({ state: 'running' });
    await domain.suspend();
    expect(await domain.getState()).toMatchObject({ state: 'paused', reason: 1 });
    await virsh('destroy', domain);
    for (const act of [domain.suspend(), domain.resume(), domain.fsFreeze()]) {
      await expect(act).rejects.toMatchObject({ code: VIR_ERR.OPERATION_INVALID });
    }
    await domain.undefineFlags(0);
    await expect(domain.getState()).rejects.toMatchObject({ code: VIR_ERR.NO_DOMAIN });
  });

  test('a freeze rejects without an agent channel, and with a channel but no agent', async () => {
    const bare = await define({ start: true });
    await expect(bare.fsFreeze()).rejects.toMatchObject({
      code: VIR_ERR.ARGUMENT_UNSUPPORTED,
      call: 'virDomainFSFreeze',
    });
    await expect(bare.fsThaw()).rejects.toMatchObject({ code: VIR_ERR.ARGUMENT_UNSUPPORTED });

    const silent = await define({ start: true, channel: true });
    await silent.agentSetResponseTimeout(1);
    await expect(silent.fsFreeze(['/'])).rejects.toMatchObject({
      code: VIR_ERR.AGENT_UNRESPONSIVE,
    });
    await expect(
      silent.qemuAgentCommand('{"execute":"guest-fsfreeze-status"}', 1),
    ).rejects.toMatchObject({
      code: VIR_ERR.AGENT_UNRESPONSIVE,
      call: 'virDomainQemuAgentCommand',
    });
    await expect(silent.setTimeSync()).rejects.toMatchObject({ code: VIR_ERR.AGENT_UNRESPONSIVE });
  });

  test('`listSnapshots` returns parents before children, with passwords; `listCheckpoints` returns none', async () => {
    const domain = await define();
    expect(await domain.listSnapshots()).toEqual([]);
    expect(await domain.listCheckpoints()).toEqual([]);
    for (const name of ['first', 'second']) {
      await run('virsh', ['-c', URI, 'snapshot-create-as', domain.name, name]);
    }
    const snapshots = await domain.listSnapshots();
    expect(snapshots.map(({ name }) => name)).toEqual(['first', 'second']);
    expect(snapshots[1]?.xml).toMatch(/<parent>\s*<name>first<\/name>/);
    expect(snapshots[0]?.xml).toContain("passwd='hunter2'");
  });

  test('`listCheckpoints` returns the checkpoints with their XML', async () => {
    const domain = await define({ start: true });
    await run('virsh', ['-c', URI, 'checkpoint-create-as', domain.name, 'point']);
    const checkpoints = await domain.listCheckpoints();
    expect(checkpoints.map(({ name }) => name)).toEqual(['point']);
    expect(checkpoints[0]?.xml).toContain('<name>point</name>');
    await run('virsh', ['-c', URI, 'checkpoint-delete', domain.name, 'point']);
  });

  test('a device is attached and detached', async () => {
    const domain = await define();
    const device = "<rng model='virtio'><backend model='random'>/dev/urandom</backend></rng>";
    await domain.attachDeviceFlags(device, 2);
    expect(await domain.getXMLDesc(SECURE)).toContain('/dev/urandom');
    await domain.detachDeviceFlags(device, 2);
    expect(await domain.getXMLDesc(SECURE)).not.toContain('/dev/urandom');
    await expect(domain.detachDeviceFlags(device, 2)).rejects.toMatchObject({
      code: VIR_ERR.DEVICE_MISSING,
    });
  });
});

describe('a disk', () => {
  test('`getBlockInfo` returns the sizes of a disk; `getDiskErrors` returns none', async () => {
    const domain = await define({ start: true });
    const info = await domain.getBlockInfo('vda');
    expect(info.capacity).toBe(6 * 2 ** 30);
    expect(info.allocation).toBeLessThan(2 ** 30);
    expect(await domain.getDiskErrors()).toEqual([]);
    await expect(domain.getBlockInfo('vdz')).rejects.toMatchObject({ code: VIR_ERR.INVALID_ARG });
  });

  test('`blockRebase` rejects on a persistent domain; `blockJobAbort` rejects without a job', async () => {
    const domain = await define({ start: true });
    await expect(domain.blockRebase('vda', await delta(), 0, REBASE)).rejects.toMatchObject({
      code: VIR_ERR.OPERATION_INVALID,
      call: 'virDomainBlockRebase',
    });
    expect(await domain.blockJobInfo('vda')).toBeUndefined();
    await expect(domain.blockJobAbort('vda', 0)).rejects.toMatchObject({
      code: VIR_ERR.INVALID_ARG,
      call: 'virDomainBlockJobAbort',
    });
  });

  test('`blockRebase` mirrors a disk while the domain is undefined', async () => {
    const domain = await define({ start: true });
    const xml = await domain.getXMLDesc(SECURE);
    const path = await delta();
    await domain.undefineFlags(0);
    await domain.blockRebase('vda', path, 3, REBASE);
    expect(await domain.blockJobInfo('vda')).toMatchObject({
      type: VIR_DOMAIN_BLOCK_JOB_TYPE.COPY,
      bandwidth: 3 * 2 ** 20,
    });
    await mirrorReady(domain, path);
    await domain.blockJobAbort('vda', 0);
    expect(await domain.blockJobInfo('vda')).toBeUndefined();
    await connection.defineXML(xml);
    expect(await domain.getXMLDesc(SECURE)).toBe(xml);
  });

  test('`blockCopy` mirrors a disk of a defined domain at the requested bandwidth', async () => {
    const domain = await define({ start: true });
    const path = await delta();
    const flags =
      VIR_DOMAIN_BLOCK_COPY_SHALLOW |
      VIR_DOMAIN_BLOCK_COPY_REUSE_EXT |
      VIR_DOMAIN_BLOCK_COPY_TRANSIENT_JOB;
    const destination = `<disk type='file'><source file='${path}'/><driver type='qcow2'/></disk>`;
    // More than 32 bits hold, and with a zero in each of its upper bytes.
    const bandwidthBytes = 5 * 2 ** 30;
    await domain.blockCopy('vda', destination, { bandwidthBytes }, flags);
    const info = await domain.blockJobInfo('vda');
    expect(info).toMatchObject({ type: VIR_DOMAIN_BLOCK_JOB_TYPE.COPY, bandwidth: bandwidthBytes });
    await mirrorReady(domain, path);
    await domain.blockJobAbort('vda', 0);
    await domain.blockCopy('vda', destination, {}, flags);
    await mirrorReady(domain, path);
    await domain.blockJobAbort('vda', 0);
    expect(await domain.isPersistent()).toBe(true);
  });
});

describe('a managed save', () => {
  test('a managed save stops the domain, and the next start resumes from it', async () => {
    const domain = await define({ start: true });
    await domain.managedSave(0);
    expect(await domain.getState()).toEqual({ state: 'shutoff', reason: VIR_DOMAIN_SHUTOFF_SAVED });
    expect(await domain.hasManagedSaveImage()).toBe(true);
    await domain.createWithFlags(0);
    expect(await domain.getState()).toMatchObject({ state: 'running' });
    expect(await domain.hasManagedSaveImage()).toBe(false);
  });

  test('a second connection watches and aborts a managed save, and the domain keeps running', async () => {
    const domain = await define({ start: true, memoryMib: 2048 });
    const other = await openConnection(URI);
    const watched = await other.lookupByUUIDString(domain.uuid);
    expect(await watched.getJobInfo()).toMatchObject({ type: 0, dataTotal: 0 });
    let error = await abortedSave(domain, watched);
    // libvirt cannot slow a save down, and RAM that is all zeros is saved fast: it may win the race.
    for (let tries = 1; error === undefined && tries < 20; tries += 1) {
      expect(await domain.hasManagedSaveImage()).toBe(true);
      await domain.createWithFlags(0);
      error = await abortedSave(domain, watched);
    }
    await other.close();
    expect(error).toMatchObject({
      code: VIR_ERR.OPERATION_ABORTED,
      call: 'virDomainManagedSave',
    });
    expect(await domain.getState()).toMatchObject({ state: 'running' });
    expect(await domain.hasManagedSaveImage()).toBe(false);
  });
});

/** Saves the domain and aborts the save as soon as it has started; undefined if the save was faster. */
async function abortedSave(domain: Domain, watched: Domain): Promise<unknown> {
  let ended = false;
  const saving = domain.managedSave(0).then(
    () => undefined,
    (error: unknown) => error,
  );
  const done = saving.finally(() => {
    ended = true;
  });
  while (!ended && (await watched.getJobInfo().catch(offOrGone)).type === 0) await sleep(1);
  await watched.abortJob().catch(offOrGone);
  return done;
}

function offOrGone(error: unknown): { type: number } {
  expect(error).toMatchObject({ code: VIR_ERR.OPERATION_INVALID });
  return { type: 0 };
}

interface DomainChoices {
  name?: string;
  start?: boolean;
  /** A channel for an agent, with no agent behind it. */
  channel?: boolean;
  memoryMib?: number;
}

/** A domain with one disk over a backing file and no operating system: it sits in its BIOS. */
async function define(choices: DomainChoices = {}): Promise<Domain> {
  const name = choices.name ?? newName();
  const [base, disk] = [join(dir, `${randomUUID()}.qcow2`), join(dir, `${randomUUID()}.qcow2`)];
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', base, '6G']);
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', disk]);
  bases.set(dir, base);
  const escaped = name.replaceAll('&', '&amp;').replaceAll('<', '&lt;');
  const channel = choices.channel
    ? "<channel type='unix'><target type='virtio' name='org.qemu.guest_agent.0'/></channel>"
    : '';
  const domain = await connection.defineXML(`<domain type='qemu'>
    <name>${escaped}</name>
    <memory unit='MiB'>${choices.memoryMib ?? 32}</memory>
    <os><type arch='x86_64' machine='pc'>hvm</type></os>
    <features><acpi/></features>
    <devices>
      <disk type='file' device='disk'>
        <driver name='qemu' type='qcow2'/><source file='${disk}'/><target dev='vda' bus='virtio'/>
      </disk>
      ${channel}
      <controller type='usb' model='none'/>
      <graphics type='vnc' autoport='yes' listen='127.0.0.1' passwd='hunter2'/>
      <memballoon model='none'/>
    </devices>
  </domain>`);
  made.push(domain);
  if (choices.start) await domain.createWithFlags(0);
  return domain;
}

const bases = new Map<string, string>();

/** A file for a mirror, over the backing file of the disk that `define` made last. */
async function delta(): Promise<string> {
  const path = join(dir, `${randomUUID()}.delta`);
  const base = bases.get(dir) ?? '';
  await run('qemu-img', ['create', '-q', '-f', 'qcow2', '-b', base, '-F', 'qcow2', path]);
  return path;
}

async function mirrorReady(domain: Domain, path: string): Promise<void> {
  for (;;) {
    const disk = parseDomainXml(await domain.getXMLDesc(0)).disks[0];
    expect(disk?.mirror).toMatchObject({ job: 'copy', path });
    if (disk?.mirror?.ready === 'yes') return;
    await sleep(20);
  }
}

async function virsh(command: string, { uuid }: Domain): Promise<void> {
  await run('virsh', ['-c', URI, command, uuid]);
}

async function caught(call: Promise<unknown>): Promise<unknown> {
  return call.then(
    () => 'it did not fail',
    (error: unknown) => error,
  );
}

function newName(): string {
  return `vp-libvirt-${randomBytes(5).toString('hex')}`;
}
