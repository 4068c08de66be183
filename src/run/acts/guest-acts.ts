// The acts `save` and `detach`, and the table of all acts on a domain that a run has to undo.
import { pollUntil } from '../../core/poll.ts';
import { shellQuote, virshDomain } from '../../core/shell-quote.ts';
import type { Domain } from '../../libvirt/domain.ts';
import {
  VIR_DOMAIN_AFFECT_LIVE,
  VIR_DOMAIN_JOB_OPERATION_SAVE,
  VIR_DOMAIN_PAUSED_SAVE,
  VIR_DOMAIN_XML_SECURE,
} from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import type { GuestAct, GuestActs } from '../guest-scope.ts';
import { commit, pause, pull } from './chain-acts.ts';
import { agentLimit, freeze } from './freeze-act.ts';
import { type GuestContext, virsh } from './guest-context.ts';
import { mirror } from './mirror-act.ts';
import { undefine } from './undefine-act.ts';

export { type MirrorData, mirror } from './mirror-act.ts';
export { liveSources, type UndefineData, undefine } from './undefine-act.ts';

export interface DetachData {
  xml: string;
  address: string;
}

type Act<Data> = GuestAct<Data, GuestContext>;

const SAVE_END_MS = 30_000;

/**
 * NOTE: a save image records whether its guest was running, and a start restores that. The state seen
 * before the save is older: another client may have paused or resumed the guest since.
 */
export const save: Act<Record<string, never>> = {
  name: 'save',
  async undo({ host, uuid, name }) {
    const domain = await host.domain(uuid);
    if (!domain) return `another client undefined domain ${name} during its managed save`;
    await endSaveJob(domain);
    if (!(await domain.isActive())) {
      // NOTE: no save image means that another client switched the guest off before the save, or
      // started it and switched it off after the save. A start here would boot it from its disks.
      if (!(await domain.hasManagedSaveImage())) {
        return `another client switched domain ${name} off; it stays off`;
      }
      await domain.createWithFlags(0);
    } else if (await isPausedBySave(domain)) {
      await domain.resume();
    }
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }) => `${virsh(host)} start ${virshDomain(domain)}`,
};

export const detach: Act<DetachData> = {
  name: 'detach',
  async undo({ host, uuid }, { xml, address }) {
    const domain = await host.domain(uuid);
    if (!(domain && (await domain.isActive()))) return undefined;
    const live = parseDomainXml(await domain.getXMLDesc(VIR_DOMAIN_XML_SECURE));
    const attached = live.hostdevs.some((device) => device.address === address);
    if (!attached) await domain.attachDeviceFlags(xml, VIR_DOMAIN_AFFECT_LIVE);
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }, { xml }) =>
    `printf %s ${shellQuote(xml.replace(/>\s+</g, '><'))} | ${virsh(host)} attach-device ${virshDomain(domain)} /dev/stdin --live`,
};

/** All acts by their name in the journal. */
export const guestActs: GuestActs<GuestContext> = Object.fromEntries(
  [undefine, mirror, freeze, agentLimit, save, detach, commit, pull, pause].map((act) => [
    act.name,
    act as Act<unknown>,
  ]),
);

/** Ends a managed save, which continues in libvirtd after its client has died. */
async function endSaveJob(domain: Domain): Promise<void> {
  if (!(await isSaving(domain))) return;
  await domain.abortJob();
  await pollUntil(async () => !(await isSaving(domain)), { timeoutMs: SAVE_END_MS, pollMs: 100 });
}

async function isSaving(domain: Domain): Promise<boolean> {
  if (!(await domain.isActive())) return false;
  // A backup, a dump or a migration is another client's.
  return (await domain.getJobOperation()) === VIR_DOMAIN_JOB_OPERATION_SAVE;
}

/** A failed save may leave the guest paused. A pause by an administrator has another reason. */
async function isPausedBySave(domain: Domain): Promise<boolean> {
  const { state, reason } = await domain.getState();
  return state === 'paused' && reason === VIR_DOMAIN_PAUSED_SAVE;
}
