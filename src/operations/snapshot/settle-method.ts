// Proves that libvirt takes a domain's stored XML back before the domain is undefined.
import { readStoredXml } from '../../capture/look-again.ts';
import { planWithoutUndefine } from '../../capture/plan.ts';
import { messageOf, PublishError } from '../../core/errors.ts';
import { isLibvirtError } from '../../libvirt/errors.ts';
import type { Decision } from './decide.ts';
import type { SnapshotSession } from './settings.ts';

/**
 * Returns the decision, with method `copy` if an undefine could not be undone.
 *
 * NOTE: libvirt keeps a definition that it would refuse now (an upgrade removed the emulator or the
 * machine type). Defining what is stored changes nothing,
 * except that a definition which another client makes between this read and this define is lost.
 * @throws PublishError DISK_UNSUPPORTED if method `rebase` was asked for by name.
 */
export async function settleMethod(
  session: SnapshotSession,
  decision: Decision,
): Promise<Decision> {
  const { capture, inspection } = decision;
  if (capture.undefines.length === 0) return decision;
  const refusal = await refusalToDefine(session);
  if (refusal === undefined) return decision;
  const why = `libvirt would not define domain ${inspection.name} again (${refusal})`;
  if (session.settings.method === 'rebase') {
    const message = `method rebase undefines the domain, and ${why}`;
    throw new PublishError('DISK_UNSUPPORTED', message, {
      step: 'inspect',
      hint: 'use --method copy',
    });
  }
  const { onEvent } = session.settings;
  onEvent({
    type: 'note',
    level: 'warning',
    step: 'inspect',
    message: `${why}; method copy is used`,
  });
  return { ...decision, capture: planWithoutUndefine(capture, why) };
}

async function refusalToDefine({ host, domain }: SnapshotSession): Promise<string | undefined> {
  const connection = await host.work();
  // Another client undefined it: the check before the first act reports that, and it stays undefined.
  if (!(await domain.isPersistent())) return undefined;
  try {
    await connection.defineXML(await readStoredXml(domain));
    return undefined;
  } catch (error) {
    if (!isLibvirtError(error)) throw error;
    return messageOf(error);
  }
}
