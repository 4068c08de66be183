// What is done to a domain and must be taken back: each act with its undo.
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
 * NOTE: a save image knows whether its guest ran at that moment, and a start goes on so. What was
 * seen before is older: another client may have paused or resumed the guest since.
 */
export const save: Act<Record<string, never>> = {
  name: 'save',
  async undo({ host, uuid, name }) {
    const domain = await host.domain(uuid);
    if (!domain) return `domain ${name} is gone: somebody undefined it meanwhile`;
    await endSaveJob(domain);
    if (!(await domain.isActive())) {
      // NOTE: no save image means that the guest was switched off before the save, or was started
      // and switched off after it. Somebody wanted that; a start would boot it afresh.
      if (!(await domain.hasManagedSaveImage())) {
        return `domain ${name} was switched off meanwhile and is left off`;
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

/** All of them, as a journal names them. */
export const guestActs: GuestActs<GuestContext> = Object.fromEntries(
  [undefine, mirror, freeze, agentLimit, save, detach, commit, pull, pause].map((act) => [
    act.name,
    act as Act<unknown>,
  ]),
);

/** A save goes on inside libvirtd when its caller is gone; it is told to end. */
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

/** A save that failed may leave the guest so; a guest that an administrator paused has another reason. */
async function isPausedBySave(domain: Domain): Promise<boolean> {
  const { state, reason } = await domain.getState();
  return state === 'paused' && reason === VIR_DOMAIN_PAUSED_SAVE;
}
