// The act `mirror`: copies a disk into a delta. Its undo aborts the job and keeps a delta that the guest uses.
import { shellQuote, virshDomain } from '../../core/shell-quote.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { VIR_DOMAIN_XML_SECURE } from '../../libvirt/ffi/constants.ts';
import { layerPaths, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { type GuestAct, UndoError } from '../guest-scope.ts';
import { type GuestContext, virsh } from './guest-context.ts';

export interface MirrorData {
  target: string;
  delta: string;
  /** The disk's own file; null if it is not on this host. Missing in journals of earlier versions. */
  source?: string | null;
  /** Format of that file. */
  format?: string;
  /** True if the disk has a backing file, which the delta shares. */
  isShallow?: boolean;
}

export const mirror: GuestAct<MirrorData, GuestContext> = {
  name: 'mirror',
  async undo({ host, uuid, name }, data) {
    const domain = await host.domain(uuid);
    if (!domain) return undefined;
    if ((await domain.isActive()) && (await hasMirrorTo(domain, data))) {
      await domain.blockJobAbort(data.target, 0);
    }
    if (await readsDelta(domain, data)) throw await pivoted({ host, uuid, name }, domain, data);
    return undefined;
  },
  recoveryCommand: ({ host, ...domain }, { target }) =>
    `${virsh(host)} blockjob ${virshDomain(domain)} ${shellQuote(target)} --abort`,
};

async function hasMirrorTo(domain: Domain, { target, delta }: MirrorData): Promise<boolean> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(VIR_DOMAIN_XML_SECURE));
  // A job with another destination is another client's.
  return disks.some((disk) => disk.target === target && disk.mirror?.path === delta);
}

/** Whether the domain's XML has the delta as a disk or as a layer of one. */
async function readsDelta(domain: Domain, { delta }: MirrorData): Promise<boolean> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  return disks.some((disk) => layerPaths(disk).includes(delta));
}

/**
 * Returns the error for a mirror that another client ended with a pivot. Its command copies the
 * delta back into the disk's own file and pivots to that.
 *
 * NOTE: a shallow copy into the old file is complete: the delta contains what that file contains,
 * and both have the same backing file (libvirt 9.0, QEMU 7.2: equal under `qemu-img compare`).
 */
async function pivoted(
  { host, ...names }: GuestContext,
  domain: Domain,
  { target, delta, source, format, isShallow }: MirrorData,
): Promise<UndoError> {
  const name = virshDomain(names);
  const into = `--dest ${shellQuote(source ?? 'FILE')} --format ${shellQuote(format ?? 'FORMAT')}`;
  const how = `--reuse-external ${isShallow ? '--shallow ' : ''}--transient-job --wait --pivot`;
  const copy = `${virsh(host)} blockcopy ${name} ${shellQuote(target)} ${into} ${how}`;
  const whileOff = `${virsh(host)} start ${name} --paused && ${copy} && ${virsh(host)} destroy ${name}`;
  return new UndoError(
    `another client pivoted the mirror of disk ${target}: the guest's newest data is in ${delta}, which is kept`,
    (await domain.isActive()) ? copy : whileOff,
  );
}
