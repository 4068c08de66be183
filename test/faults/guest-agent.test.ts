// Guest agents: foreign freezes, wrong answers, resets and ends during a freeze, and the agent timeout.
import { readFileSync } from 'node:fs';
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { setTimeout as sleep } from 'node:timers/promises';
import { beforeEach, expect, test } from 'vitest';
import { makeSandbox, runCli, type Sandbox } from '../support/cli.ts';
import { createDomain, type TestDomain } from '../support/domains.ts';
import { FakeAgent, type FakeAnswer } from '../support/fake-agent.ts';
import { makeFolder } from '../support/folders.ts';
import { expectWhole, photograph } from '../support/guest-photo.ts';
import { waitFor } from '../support/wait.ts';
import { expectNothingLeft, imagesIn } from './whole.ts';

let sandbox: Sandbox;
beforeEach(async () => {
  sandbox = await makeSandbox();
});

const FILESYSTEM = { properties: { snapshot_consistency: 'filesystem' } };
const CRASH = { properties: { snapshot_consistency: 'crash' } };

async function newestImage() {
  const images = await imagesIn(sandbox);
  return images.sort((a, b) => b.created_at.localeCompare(a.created_at))[0];
}

/** `virsh guest-agent-timeout` sets it; only libvirt's status file shows it. */
function agentTimeout({ name }: TestDomain): string | undefined {
  const status = readFileSync(`/run/libvirt/qemu/${name}.xml`, 'utf8');
  return /<agentTimeout>(-?\d+)</.exec(status)?.[1];
}

test('every command restores the agent timeout of the domain', async () => {
  const domain = await createDomain({ shape: 'qcow2' });
  const commands = [
    ['inspect', domain.name],
    ['snapshot', domain.name, '--dry-run'],
    ['doctor', domain.name],
    ['snapshot', domain.name],
    ['snapshot', domain.name, '--mode', 'cold'],
  ];
  expect(agentTimeout(domain)).toBe('-2');
  for (const seconds of ['-2', '77']) {
    await domain.virsh('guest-agent-timeout', '--timeout', seconds);
    for (const args of seconds === '77' ? commands : commands.slice(0, 4)) {
      const ran = await runCli(args, { sandbox });
      if (args[0] !== 'doctor') expect(ran.exitCode, ran.stderr).toBe(0);
      expect(agentTimeout(domain), args.join(' ')).toBe(seconds);
    }
  }
  await domain.destroy();
});

test('a guest frozen by another client is published as filesystem-consistent, and stays frozen', async () => {
  const domain = await createDomain({ shape: 'qcow2' });
  const before = await photograph(domain);
  await domain.virsh('domfsfreeze');
  const inspected = await runCli(['inspect', domain.name], { sandbox });
  expect(inspected.stdout).toContain('file systems are frozen already');
  for (const args of [[], ['--quiesce', 'require'], ['--mode', 'cold']]) {
    const ran = await runCli(['snapshot', domain.name, ...args], { sandbox });
    expect(ran.exitCode, ran.stderr).toBe(0);
    expect(ran.stderr).not.toContain('no guest agent answers');
    expect(await domain.agent.frozen(), args.join(' ')).toBe(true);
    if (args[0] === '--mode') continue;
    expect(ran.stderr).toContain("another client has frozen the guest's file systems");
    expect(await newestImage()).toMatchObject(FILESYSTEM);
    expect((await newestImage())?.properties).not.toHaveProperty('snapshot_freeze_ms');
  }
  await domain.virsh('domfsthaw');
  await expectWhole(domain, before);
  await domain.destroy();
});

const FREEZE = 'guest-fsfreeze-freeze';
const THAW = 'guest-fsfreeze-thaw';

async function lyingGuest(): Promise<{ domain: TestDomain; agent: FakeAgent }> {
  const agent = await FakeAgent.listen(join(await makeFolder('vp-test-agent'), 'agent.sock'));
  const domain = await createDomain({ shape: 'qcow2', agent: false, devices: agent.channelXml });
  const isOpen = async () => /guest_agent\.0' state='connected'/.test(await domain.liveXml());
  await waitFor('the guest to open the channel', isOpen);
  return { domain, agent };
}

/** The answers to freeze and thaw, and the message that they cause. */
const LIES: [string, [string, FakeAnswer][], string][] = [
  ['freezes no file system', [[FREEZE, { return: 0 }]], 'froze no file system'],
  ['answers the freeze with an error', [[FREEZE, { error: 'no' }]], 'the freeze failed'],
  ['answers the freeze with a negative number', [[FREEZE, { return: -5 }]], 'the freeze failed'],
  ['answers the freeze with a huge number', [[FREEZE, { return: 2 ** 63 }]], 'the freeze failed'],
  ['answers the freeze with a text', [[FREEZE, { return: 'red' }]], 'the freeze failed'],
  ['does not answer the freeze', [[FREEZE, 'silence']], 'the freeze failed'],
  ['finds nothing to thaw', [[THAW, { return: 0 }]], 'found no frozen file system to thaw'],
];

test('an image is filesystem-consistent only if the agent froze a file system and thawed it', async () => {
  const { domain, agent } = await lyingGuest();
  const before = await photograph(domain);
  const env = { VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '3000' };
  for (const [name, answers, message] of LIES) {
    for (const [command, answer] of answers) agent.answers.set(command, answer);
    agent.commands.length = 0;
    const ran = await runCli(['snapshot', domain.name], { sandbox, env });
    expect(ran.exitCode, `${name}: ${ran.stderr}`).toBe(0);
    expect(ran.stderr, name).toContain(message);
    expect(await newestImage(), name).toMatchObject(CRASH);
    expect(agent.commands.at(-1), name).toBe(THAW);
    const required = await runCli(['snapshot', domain.name, '--quiesce', 'require'], {
      sandbox,
      env,
    });
    expect(required.exitCode, `${name}: ${required.stderr}`).toBe(21);
    agent.answers.clear();
    expect(await photograph(domain)).toEqual(before);
    await expectNothingLeft(sandbox);
  }
  const well = await runCli(['snapshot', domain.name, '--quiesce', 'require'], { sandbox });
  expect(well.exitCode, well.stderr).toBe(0);
  expect(await newestImage()).toMatchObject(FILESYSTEM);
  await domain.destroy();
});

test('a Windows guest has a longer freeze deadline than other guests', async () => {
  const { domain, agent } = await lyingGuest();
  agent.onCommand = (command) => (command === FREEZE ? sleep(8000) : undefined);
  const env = {
    VIRT_PUBLISH_TIMEOUTS_FREEZE_MS: '2s',
    VIRT_PUBLISH_TIMEOUTS_WINDOWS_FREEZE_MS: '12s',
    // The limit of a call to libvirt does not end a freeze that has a longer one.
    VIRT_PUBLISH_TIMEOUTS_LIBVIRT_MS: '6s',
  };
  for (const [id, consistency] of [
    ['debian', CRASH],
    ['mswindows', FILESYSTEM],
  ] as const) {
    agent.answers.set('guest-get-osinfo', { return: { id, name: id } });
    const ran = await runCli(['snapshot', domain.name], { sandbox, env });
    expect(ran.exitCode, ran.stderr).toBe(0);
    expect(await newestImage(), `${id}: ${ran.stderr}`).toMatchObject(consistency);
    // The agent processes its commands in order.
    await waitFor('the last thaw', async () => agent.commands.at(-1) === THAW);
  }
  agent.onCommand = (command) => (command === FREEZE ? sleep(16_000) : undefined);
  const late = await runCli(['snapshot', domain.name], { sandbox, env });
  expect(late.exitCode, late.stderr).toBe(0);
  expect(late.stderr).toContain('the freeze failed');
  expect(await newestImage()).toMatchObject(CRASH);
  agent.onCommand = () => undefined;
  await expectNothingLeft(sandbox);
  await domain.destroy();
});

test('a guest that is paused during its freeze is published, and thawed when it runs again', async () => {
  const { domain, agent } = await lyingGuest();
  const before = await photograph(domain);
  agent.onCommand = (command) => (command === FREEZE ? domain.virsh('suspend') : undefined);
  const ran = await runCli(['snapshot', domain.name], { sandbox });
  agent.onCommand = () => undefined;
  expect(ran.exitCode, ran.stderr).toBe(0);
  expect(ran.stderr).toContain('frozen until it runs again');
  expect(await domain.state()).toBe('paused');
  expect(await domain.info('Persistent')).toBe('yes');
  // A paused guest does not prevent the next run.
  const next = await runCli(['snapshot', domain.name], { sandbox });
  expect(next.exitCode, next.stderr).toBe(0);
  expect(agent.commands.filter((command) => command === THAW)).toEqual([]);
  await domain.virsh('resume');
  await waitFor('the thaw', async () => agent.commands.includes(THAW), { timeoutMs: 15_000 });
  expect(await photograph(domain)).toEqual(before);
  const recovered = await runCli(['recover'], { sandbox });
  expect(recovered.exitCode, recovered.stderr).toBe(0);
  await expectNothingLeft(sandbox);
  await domain.destroy();
});

test('a guest that is reset during its freeze is published as crash-consistent', async () => {
  const { domain, agent } = await lyingGuest();
  agent.onCommand = (command) => {
    if (command !== FREEZE) return undefined;
    agent.answers.set(THAW, { return: 0 });
    return domain.virsh('reset');
  };
  const ran = await runCli(['snapshot', domain.name], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(0);
  expect(await newestImage()).toMatchObject(CRASH);
  expect(await domain.info('Persistent')).toBe('yes');
  await expectNothingLeft(sandbox);
  await domain.destroy();
});

test('an agent that ends during the freeze is exit 50, and `recover --abandon-thaw` abandons the thaw', async () => {
  const { domain, agent } = await lyingGuest();
  agent.answers.set(FREEZE, 'close');
  const ran = await runCli(['snapshot', domain.name], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(50);
  expect(ran.stderr).toContain('recover --abandon-thaw');
  await agent.end();
  await domain.virsh('reset');

  const off = await runCli(['snapshot', domain.name, '--quiesce', 'off'], { sandbox });
  expect(off.exitCode, off.stderr).toBe(0);
  const refused = await runCli(['snapshot', domain.name], { sandbox });
  expect(refused.exitCode, refused.stderr).toBe(50);
  const given = await runCli(['recover', '--abandon-thaw'], { sandbox });
  expect(given.exitCode, given.stderr).toBe(0);
  expect(given.stderr).toContain('may stay frozen until it is reset');
  await expectNothingLeft(sandbox);
  const tried = await runCli(['snapshot', domain.name], { sandbox });
  expect(tried.exitCode, tried.stderr).toBe(0);
  expect(await readdir(join(sandbox.stateDir, 'runs'))).toEqual([]);
  await domain.destroy();
});

test('`recover` drops a pending thaw after a new start of the domain', async () => {
  const { domain, agent } = await lyingGuest();
  agent.answers.set(FREEZE, 'close');
  const ran = await runCli(['snapshot', domain.name], { sandbox });
  expect(ran.exitCode, ran.stderr).toBe(50);
  await agent.end();
  await domain.virsh('destroy');
  // Without the agent's socket QEMU would not start.
  const second = await FakeAgent.listen(agent.path);
  await domain.virsh('start');
  second.answers.set(THAW, { error: 'no' });
  await second.end();
  const recovered = await runCli(['recover'], { sandbox });
  expect(recovered.exitCode, recovered.stderr).toBe(0);
  await expectNothingLeft(sandbox);
  await domain.destroy();
});
