// The libvirt connections and the domain of a run or a dry run.
import type { Config } from '../config/config.ts';
import { PublishError } from '../core/errors.ts';
import type { Domain } from '../libvirt/domain.ts';
import { isLibvirtError, type LibvirtError, VIR_ERR } from '../libvirt/errors.ts';
import { findDomain } from '../libvirt/find-domain.ts';
import { Host } from '../libvirt/host.ts';
import { loadStore } from '../store/load-store.ts';

/** A domain of a libvirt, and the deadlines of its calls. */
export interface DomainPlace {
  /** Name, UUID or id of the domain. */
  domain: string;
  /** libvirt URI. */
  connect: string;
  config: Config;
  /** URL of the registry whose code is loaded while libvirt connects. */
  registry?: string;
}

export interface Session<S extends DomainPlace = DomainPlace> {
  settings: S;
  host: Host;
  domain: Domain;
}

/** Opens a session for `work`, and closes it when `work` settles. @throws PublishError LIBVIRT, DOMAIN_NOT_FOUND, CONFIG */
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

/** Returns the error for a libvirt error that no step has handled. */
function refused({ domain, connect }: DomainPlace, cause: LibvirtError): PublishError {
  if (cause.code === VIR_ERR.NO_DOMAIN) {
    const message = `domain ${domain} at ${connect} vanished`;
    return new PublishError('DOMAIN_NOT_FOUND', message, { cause });
  }
  const retryable = BUSY.includes(cause.code);
  const hint = retryable ? 'retry; another call keeps the domain busy' : 'read the log of libvirtd';
  const message = `a libvirt call on domain ${domain} failed: ${cause.message}`;
  return new PublishError('LIBVIRT', message, { retryable, cause, hint });
}

const BUSY: readonly number[] = [VIR_ERR.RESOURCE_BUSY, VIR_ERR.OPERATION_TIMEOUT];
