// A mirror of a disk into a delta, and how it is ended; a delta that the guest has gone on in is kept.
import { shellQuote, virshDomain } from '../../core/shell-quote.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { VIR_DOMAIN_XML_SECURE } from '../../libvirt/ffi/constants.ts';
import { parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { type GuestAct, UndoError } from '../guest-scope.ts';
import { type GuestContext, virsh } from './guest-context.ts';

export interface MirrorData {
  target: string;
  delta: string;
  /** The disk's own file; null if it is none of this host. Left out by earlier versions. */
  source?: string | null;
  /** Of that file. */
  format?: string;
  /** It has a backing file, which the delta has as well. */
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
  // A job with another destination is not ours: somebody else's stays.
  return disks.some((disk) => disk.target === target && disk.mirror?.path === delta);
}

/** Whether the guest, or its next start, has the delta as a disk or below one. */
async function readsDelta(domain: Domain, { delta }: MirrorData): Promise<boolean> {
  const { disks } = parseDomainXml(await domain.getXMLDesc(0));
  return disks.some(({ source, backingChain }) =>
    [source, ...backingChain.map(({ path }) => path)].includes(delta),
  );
}

/**
 * The error for a mirror that another client ended with a pivot, with the command that copies the
 * delta back into the disk's own file and goes on in that.
 *
 * NOTE: a shallow copy into the old file is complete: what that file has, the delta has as well,
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
