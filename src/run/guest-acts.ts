// What is done to a domain and must be taken back: each act with its undo.
import { readFile } from 'node:fs/promises';
import {
  VIR_DOMAIN_AFFECT_LIVE,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_XML_SECURE,
} from '../libvirt/constants.ts';
import type { Domain } from '../libvirt/domain.ts';
import { parseDomainXml } from '../libvirt/domain-xml.ts';
import type { Host } from '../libvirt/host.ts';
import { pollUntil } from '../poll.ts';
import { commit, pause, pull } from './chain-acts.ts';
import { type DomainMetadata, readMetadata, restoreMetadata } from './domain-metadata.ts';
import { agentLimit, freeze } from './freeze-act.ts';
import type { GuestAct, GuestActs } from './guest-scope.ts';
import { keepSecret } from './keep-run.ts';
import { shellQuote, virshDomain } from './shell-quote.ts';

/** What every undo needs: where the domain is, and how it is called. */
export interface GuestContext {
  host: Host;
  name: string;
  uuid: string;
  /** The host has been started anew since the act was done. */
  rebooted?: boolean;
}

export interface UndefineData {
  /** The saved INACTIVE|SECURE XML. */
  xmlPath: string;
  autostart: boolean;
  /** The saved snapshot and checkpoint metadata; null where the domain has none. */
  metadataPath: string | null;
  /** What the two files hold, in memory alone: it has the domain's passwords. */
  saved?: { xml: string; metadata: DomainMetadata | null };
}

export interface MirrorData {
  target: string;
  delta: string;
}

export interface SaveData {
  /** The power state to come back to. */
  state: 'running' | 'paused';
}

export interface DetachData {
  xml: string;
  address: string;
}

type Act<Data> = GuestAct<Data, GuestContext>;

const SAVE_END_MS = 30_000;

export const undefine: Act<UndefineData> = {
  name: 'undefine',
  toJournal: ({ saved: _, ...kept }) => kept,
  async undo({ host, uuid, name, rebooted }, data) {
    const { xmlPath, autostart, metadataPath, saved } = data;
    const before = await host.domain(uuid);
    const wasPersistent = (await before?.isPersistent()) ?? false;
    if (!wasPersistent) {
      const connection = await host.work();
      await connection.defineXML(saved?.xml ?? (await readFile(xmlPath, 'utf8')));
    }
    const domain = await host.domain(uuid);
    if (domain) {
      if ((await domain.getAutostart()) !== autostart) await domain.setAutostart(autostart);
      const metadata =
        metadataPath === null ? null : (saved?.metadata ?? (await readMetadata(metadataPath)));
      if (metadata) await restoreMetadata(domain, metadata);
    }
    if (before) return undefined;
    // NOTE: libvirt starts the domains of this mark when it comes up, and did not know this one.
    if (rebooted && autostart && domain && !(await domain.isActive())) {
      await domain.createWithFlags(0);
      return `the host was restarted meanwhile; domain ${name} is defined again and started, as its autostart mark says`;
    }
    return `domain ${name} was switched off meanwhile; it is defined again and left off`;
  },
  keepFiles: async (data) => {
    const { xmlPath, metadataPath, saved } = data;
    if (!saved) return data;
    if (metadataPath !== null) await keepSecret(metadataPath, JSON.stringify(saved.metadata));
    return { ...data, xmlPath: await keepSecret(xmlPath, saved.xml) };
  },
  mend: ({ host, ...domain }, { xmlPath, autostart }) =>
    [`${virsh(host)} define ${shellQuote(xmlPath)}`]
      .concat(autostart ? [`${virsh(host)} autostart ${virshDomain(domain)}`] : [])
      .join(' && '),
};

export const mirror: Act<MirrorData> = {
  name: 'mirror',
  async undo({ host, uuid }, { target, delta }) {
    const domain = await host.domain(uuid);
    if (!(domain && (await domain.isActive()))) return undefined;
    if (await hasMirrorTo(domain, target, delta)) await domain.blockJobAbort(target, 0);
    return undefined;
  },
  mend: ({ host, ...domain }, { target }) =>
    `${virsh(host)} blockjob ${virshDomain(domain)} ${shellQuote(target)} --abort`,
};

export const save: Act<SaveData> = {
  name: 'save',
  async undo({ host, uuid, name }, { state }) {
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
    }
    await bringToState(domain, state);
    return undefined;
  },
  mend: ({ host, ...domain }) => `${virsh(host)} start ${virshDomain(domain)}`,
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
  mend: ({ host, ...domain }, { xml }) =>
    `printf %s ${shellQuote(xml.replace(/>\s+</g, '><'))} | ${virsh(host)} attach-device ${virshDomain(domain)} /dev/stdin --live`,
};

/** All of them, as a journal names them. */
export const guestActs: GuestActs<GuestContext> = Object.fromEntries(
  [undefine, mirror, freeze, agentLimit, save, detach, commit, pull, pause].map((act) => [
    act.name,
    act as Act<unknown>,
  ]),
);

function virsh({ uri }: Host): string {
  return `virsh -c ${shellQuote(uri)}`;
}

async function hasMirrorTo(domain: Domain, target: string, delta: string): Promise<boolean> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(VIR_DOMAIN_XML_SECURE));
  // A job with another destination is not ours: somebody else's stays.
  return disks.some((disk) => disk.target === target && disk.mirror?.path === delta);
}

/** A save goes on inside libvirtd when its caller is gone; it is told to end. */
async function endSaveJob(domain: Domain): Promise<void> {
  if (!(await isSaving(domain))) return;
  await domain.abortJob();
  await pollUntil(async () => !(await isSaving(domain)), { timeoutMs: SAVE_END_MS, pollMs: 100 });
}

async function isSaving(domain: Domain): Promise<boolean> {
  return (await domain.isActive()) && (await domain.getJobInfo()).type !== VIR_DOMAIN_JOB.NONE;
}

async function bringToState(domain: Domain, wanted: 'running' | 'paused'): Promise<void> {
  const { state } = await domain.getState();
  if (wanted === 'running' && state === 'paused') await domain.resume();
  if (wanted === 'paused' && state === 'running') await domain.suspend();
}
