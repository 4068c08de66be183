// What the undo of every act on a domain is given, and how its commands for a person begin.
import { shellQuote } from '../../core/shell-quote.ts';
import type { Host } from '../../libvirt/host.ts';

/** What every undo needs: where the domain is, and how it is called. */
export interface GuestContext {
  host: Host;
  name: string;
  uuid: string;
  /** The host has been started anew since the act was done. */
  rebooted?: boolean;
}

/** `virsh -c URI`, as a shell reads it. */
export function virsh({ uri }: Host): string {
  return `virsh -c ${shellQuote(uri)}`;
}
