// `parseStatus`: the facts that it reads, which a user's XML cannot forge.
import { expect, test } from 'vitest';
import { parseStatus } from '#built/libvirt/status-xml.js';

const UUID = 'a1b0f4c0-52a5-4b6c-8ef4-0d6b3b6d7b11';

function status(own: string, domain = ''): string {
  return `<!-- x -->
<domstatus state='running' reason='booted' pid='22105'>
  ${own}
  <domain type='qemu' id='2'><name>web</name><uuid>${UUID}</uuid>${domain}</domain>
</domstatus>`;
}

test('`parseStatus` reads the agent timeout and the pid of a running domain', () => {
  expect(parseStatus(status('<agentTimeout>7</agentTimeout>'), UUID)).toEqual({
    ...{ pid: 22105, agentTimeoutS: 7 },
  });
  expect(parseStatus(status('<agentTimeout>-2</agentTimeout>'), UUID)?.agentTimeoutS).toBe(-2);
  expect(parseStatus(status(''), UUID)?.agentTimeoutS).toBe(-2);
});

test('`parseStatus` ignores an agent timeout inside the domain element', () => {
  const metadata = '<metadata><agentTimeout>1</agentTimeout></metadata>';
  expect(parseStatus(status('', metadata), UUID)?.agentTimeoutS).toBe(-2);
});

test('`parseStatus` ignores the status of another domain with this name, and other text', () => {
  expect(parseStatus(status(''), 'other')).toBeUndefined();
  expect(parseStatus('', UUID)).toBeUndefined();
  expect(parseStatus('<domain/>', UUID)).toBeUndefined();
});
