// The input of every undo, and the beginning of the commands that do the same by hand.
import { shellQuote } from '../../core/shell-quote.ts';
import type { Host } from '../../libvirt/host.ts';

/** The domain that an undo works on. */
export interface GuestContext {
  host: Host;
  name: string;
  uuid: string;
  /** True if the host was restarted since the act. */
  rebooted?: boolean;
}

/** Returns `virsh -c URI`, quoted for a shell. */
export function virsh({ uri }: Host): string {
  return `virsh -c ${shellQuote(uri)}`;
}
