// Reads libvirt's status file of a running domain, which has facts without an API call.
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { currentUser } from '../core/user.ts';
import { VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK } from './ffi/constants.ts';

/** Facts of a running domain that no domain XML has. */
export interface DomainStatus {
  /** Pid of the QEMU process. */
  pid: number;
  /** Seconds, or VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_*. */
  agentTimeoutS: number;
}

/**
 * Reads the status file that the daemon of `uri` keeps of a running domain.
 * @returns undefined if it is missing, unreadable (only the daemon's user may read it), or of another
 * domain with this name
 */
export function readStatus(
  uri: string,
  { name, uuid }: { name: string; uuid: string },
): DomainStatus | undefined {
  try {
    return parseStatus(readFileSync(statusPath(uri, name), 'utf8'), uuid);
  } catch {
    // A daemon of another user, or in a mount namespace of its own.
    return undefined;
  }
}

/**
 * Reads the content of a status file. Pure.
 *
 * NOTE: libvirt 5.10 and later write `<agentTimeout>`, also its default. Everything before `<domain` is
 * written by libvirt; values that a user can choose come after it.
 * @returns undefined if it is not the status of the domain with this UUID
 */
export function parseStatus(text: string, uuid: string): DomainStatus | undefined {
  const at = text.search(/<domain[\s>]/);
  const own = text.slice(0, at);
  const pid = /<domstatus [^>]*\bpid='(\d+)'/.exec(own)?.[1];
  const isOf = /<uuid>([^<]*)<\/uuid>/.exec(text.slice(at))?.[1] === uuid;
  if (at === -1 || pid === undefined || !isOf) return undefined;
  const timeout = /<agentTimeout>(-?\d+)<\/agentTimeout>/.exec(own)?.[1];
  const agentTimeoutS = Number(timeout ?? VIR_DOMAIN_AGENT_RESPONSE_TIMEOUT_BLOCK);
  return { pid: Number(pid), agentTimeoutS };
}

/** Returns the path of the status file of a running domain. */
export function statusPath(uri: string, name: string): string {
  return join(statusFolder(uri), `${name}.xml`);
}

function statusFolder(uri: string): string {
  if (new URL(uri).pathname !== '/session') return '/run/libvirt/qemu';
  const runtime = process.env.XDG_RUNTIME_DIR ?? `/run/user/${currentUser().uid}`;
  return join(runtime, 'libvirt/qemu/run');
}
