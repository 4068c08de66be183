// A libvirt and a domain of it, for as long as a run or a dry run needs them.
import type { Config } from '../config/config.ts';
import { PublishError } from '../core/errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError, type LibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import { findDomain } from '../libvirt/find-domain.ts';
import { Host } from '../libvirt/host.ts';
import { loadStore } from '../store/load-store.ts';

/** Which domain of which libvirt, and how long that may take to answer. */
export interface DomainPlace {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI. */
  connect: string;
  config: Config;
  /** If given, its code is loaded while libvirt connects. */
  registry?: string;
}

export interface Session<S extends DomainPlace = DomainPlace> {
  settings: S;
  host: Host;
  domain: Domain;
}

/** `work` gets a session that is closed when it settles. @throws LIBVIRT, DOMAIN_NOT_FOUND, CONFIG */
export async function withSession<S extends DomainPlace, T>(
  settings: S,
  work: (session: Session<S>) => Promise<T>,
): Promise<T> {
  const { libvirtMs, managedSaveMs } = settings.config.timeouts;
  const host = new Host(settings.connect, {
    callMs: libvirtMs,
    longMs: managedSaveMs + libvirtMs,
  });
  try {
    const connecting = host.work();
    if (settings.registry !== undefined) loadStore(settings.registry);
    const domain = await findDomain(await connecting, settings.domain);
    return await work({ settings, host, domain });
  } catch (error) {
    throw isLibvirtError(error) ? refused(settings, error) : error;
  } finally {
    await host.close();
  }
}

/** What no step has a word of its own for. */
function refused({ domain, connect }: DomainPlace, cause: LibvirtError): PublishError {
  if (cause.code === VIR_ERR.NO_DOMAIN) {
    const message = `domain ${domain} at ${connect} went away; see virsh list --all`;
    return new PublishError('DOMAIN_NOT_FOUND', message, { cause });
  }
  const retryable = BUSY.includes(cause.code);
  const cure = retryable
    ? 'another call keeps the domain busy: try again'
    : 'see the log of libvirtd';
  const message = `libvirt refused a call on domain ${domain}: ${cause.message}; ${cure}`;
  return new PublishError('LIBVIRT', message, { retryable, cause });
}

const BUSY: readonly number[] = [VIR_ERR.RESOURCE_BUSY, VIR_ERR.OPERATION_TIMEOUT];
