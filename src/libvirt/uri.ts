// Which libvirt URIs this package can work with: QEMU, on this very host. Pure.
import { PublishError } from '../core/errors.ts';

/**
 * Passes for `qemu:///system`, `qemu:///session`, and the same with `qemu+unix` and its `?socket=`.
 * @throws PublishError CONFIG with what to do instead.
 */
export function requireLocalQemu(uri: string): void {
  const url = parse(uri);
  const [driver, transport] = url.protocol.slice(0, -1).split('+');
  if (driver !== 'qemu') {
    throw refuse(`the libvirt driver "${driver}" is not supported; use qemu:///system`);
  }
  if (url.host !== '' || (transport !== undefined && transport !== 'unix')) {
    const host = url.hostname === '' ? 'another host' : url.hostname;
    throw refuse(
      `the libvirt URI leads to ${host} (${url.protocol}//…); ` +
        'run virt-publish on that host: the disk files are there',
    );
  }
  if (url.pathname !== '/system' && url.pathname !== '/session') {
    throw refuse(
      `the libvirt URI names "${url.pathname}"; use qemu:///system (or qemu:///session)`,
    );
  }
}

// The URI itself stays out of messages until it is known to be local: it may hold a password.
function parse(uri: string): URL {
  try {
    return new URL(uri);
  } catch (cause) {
    throw new PublishError('CONFIG', 'not a libvirt URI; use qemu:///system', {
      step: 'config',
      cause: cause instanceof Error ? cause.name : cause,
    });
  }
}

function refuse(message: string): PublishError {
  return new PublishError('CONFIG', message, { step: 'config' });
}
