// The acts `freeze` (the guest's file systems) and `agent limit` (how long libvirt waits for the agent).
import { virshDomain } from '../../core/shell-quote.ts';
import { type AgentLimit, liftAgentLimit, withAgentLimit } from '../../libvirt/agent-timeout.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import { VIR_DOMAIN_RUNNING_BOOTED } from '../../libvirt/ffi/constants.ts';
import { isSameRuntime, type Runtime } from '../../libvirt/runtime.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { type GuestAct, NotYet } from '../guest-scope.ts';
import { type GuestContext, virsh } from './guest-context.ts';

export interface FreezeData {
  /** The QEMU process whose guest was frozen. */
  runtime: Runtime;
}

/** How long the undo waits for the agent's answer to the thaw. */
const THAW_MS = 10_000;

/**
 * NOTE: a freeze is state of the guest's memory. It ends with a reset or a new start of the guest,
 * and survives a pause and a managed save.
 */
export const freeze: GuestAct<FreezeData | null, GuestContext> = {
  name: 'freeze',
  async undo({ host, uuid, rebooted = false }, data) {
    const domain = await host.domain(uuid);
    if (!domain || (await isThawedByItself(domain))) return undefined;
    // A guest that booted since was not frozen by this run.
    if (await hasBootedSince(domain, data, rebooted)) return undefined;
    try {
      await withAgentLimit(domain, THAW_MS, () => domain.fsThaw());
    } catch (error) {
      if (await hasBootedSince(domain, data, rebooted)) return undefined;
      throw await explain(domain, error);
    }
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }) => `${virsh(host)} domfsthaw ${virshDomain(domain)}`,
};

/** Limits how long libvirt waits for the agent; see `neededAgentLimit`. */
export const agentLimit: GuestAct<AgentLimit, GuestContext> = {
  name: 'agent limit',
  async undo({ host, uuid, rebooted = false }, limit) {
    // libvirt keeps the limit in memory, and in a file that a restart of the host removes.
    const domain = rebooted ? undefined : await host.domain(uuid);
    if (domain) await liftAgentLimit(domain, limit);
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }, { previousS }) =>
    `${virsh(host)} guest-agent-timeout ${virshDomain(domain)} --timeout ${previousS}`,
};

/**
 * Whether the guest cannot be frozen any more.
 * @throws NotYet if the guest does not run: its state is unknown until it runs again.
 */
async function isThawedByItself(domain: Domain): Promise<boolean> {
  if (!(await domain.isActive())) {
    const isSaved = (await domain.isPersistent()) && (await domain.hasManagedSaveImage());
    if (isSaved) throw parked('is in a managed save');
    return true;
  }
  const { state } = await domain.getState();
  if (state === 'paused') throw parked('is paused');
  if (state === 'pmsuspended') throw parked('sleeps');
  return state === 'crashed';
}

function parked(how: string): NotYet {
  const message = `the guest ${how} by another client, so its file systems may stay frozen until it runs again and is thawed`;
  return new NotYet(message, { isParked: true });
}

/** Whether the guest booted since the freeze. A start from a managed save does not end a freeze. */
async function hasBootedSince(
  domain: Domain,
  data: FreezeData | null,
  rebooted: boolean,
): Promise<boolean> {
  const { state, reason } = await domain.getState();
  if (state !== 'running' || reason !== VIR_DOMAIN_RUNNING_BOOTED) return false;
  if (rebooted) return true;
  return data !== null && isSameRuntime(data.runtime, await domain.runtime()) === false;
}

/** A channel that no agent has open belongs to a guest that boots, or to an agent that ended. */
async function explain(domain: Domain, error: unknown): Promise<unknown> {
  if (!isLibvirtError(error)) return error;
  const message = `${error.message}; use --quiesce off until it is thawed, or virt-publish recover --abandon-thaw if the guest was reset since`;
  const { isAgentConnected } = parseDomainXml(await domain.getXMLDesc(0));
  const mayComeBack = error.code === VIR_ERR.AGENT_UNRESPONSIVE && isAgentConnected === false;
  return mayComeBack
    ? new NotYet(message, { isParked: false, cause: error })
    : new Error(message, { cause: error });
}
