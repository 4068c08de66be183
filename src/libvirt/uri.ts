// Accepts the libvirt URIs that this package supports: QEMU on this host. Pure.
import { PublishError } from '../core/errors.ts';

/**
 * Accepts `qemu:///system`, `qemu:///session`, and the same with `qemu+unix` and `?socket=`.
 * @throws PublishError CONFIG for all other URIs
 */
export function requireLocalQemu(uri: string): void {
  const url = parse(uri);
  const [driver, transport] = url.protocol.slice(0, -1).split('+');
  if (driver !== 'qemu') {
    throw configError(`the libvirt driver "${driver}" is not supported`);
  }
  if (url.host !== '' || (transport !== undefined && transport !== 'unix')) {
    const host = url.hostname === '' ? 'another host' : url.hostname;
    throw configError(
      `the libvirt URI leads to ${host} (${url.protocol}//…), and the disks are not on this host`,
      'run virt-publish on that host',
    );
  }
  if (url.pathname !== '/system' && url.pathname !== '/session') {
    throw configError(`the libvirt URI names "${url.pathname}", which is not supported`);
  }
}

// The URI itself stays out of messages until it is known to be local: it may hold a password.
function parse(uri: string): URL {
  try {
    return new URL(uri);
  } catch (cause) {
    throw new PublishError('CONFIG', 'the value of --connect is not a libvirt URI', {
      step: 'config',
      hint: USE_SYSTEM,
      cause: cause instanceof Error ? cause.name : cause,
    });
  }
}

const USE_SYSTEM = 'use qemu:///system (or qemu:///session)';

function configError(message: string, hint = USE_SYSTEM): PublishError {
  return new PublishError('CONFIG', message, { step: 'config', hint });
}
