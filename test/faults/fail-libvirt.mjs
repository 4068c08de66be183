// Loaded by `NODE_OPTIONS=--import`: makes calls to libvirt fail, as FAIL_LIBVIRT="defineXML=1,blockJobAbort=9" says.
import { Connection } from '../../build/libvirt/connection.js';
import { Domain } from '../../build/libvirt/domain.js';
import { LibvirtError } from '../../build/libvirt/errors.js';

for (const [, call, times] of (process.env.FAIL_LIBVIRT ?? '').matchAll(/(\w+)=(\d+)/g)) {
  const owner = call in Domain.prototype ? Domain.prototype : Connection.prototype;
  const real = owner[call];
  let left = Number(times);
  owner[call] = function failing(...args) {
    if (left === 0) return real.apply(this, args);
    left -= 1;
    return Promise.reject(new LibvirtError({ code: 1, domain: 10, call, message: 'injected' }));
  };
}
