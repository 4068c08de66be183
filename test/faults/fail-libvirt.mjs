// Loaded by `NODE_OPTIONS=--import`: makes libvirt calls fail, by FAIL_LIBVIRT="defineXML=1,blockJobAbort=9".
// "defineXML=9+1" lets the first such call through.
// HANG_LIBVIRT="fsFreeze": the first such call is made, but its result is never returned.
import { Connection } from '../../build/libvirt/connection.js';
import { Domain } from '../../build/libvirt/domain.js';
import { LibvirtError } from '../../build/libvirt/errors.js';

const FAILING = /(\w+)=(\d+)(?:\+(\d+))?/g;
for (const [, call, times, skipped = 0] of (process.env.FAIL_LIBVIRT ?? '').matchAll(FAILING)) {
  const owner = call in Domain.prototype ? Domain.prototype : Connection.prototype;
  const real = owner[call];
  let left = Number(times);
  let before = Number(skipped);
  owner[call] = function failing(...args) {
    before -= 1;
    if (before >= 0 || left === 0) return real.apply(this, args);
    left -= 1;
    return Promise.reject(new LibvirtError({ code: 1, domain: 10, call, message: 'injected' }));
  };
}

const hanging = process.env.HANG_LIBVIRT;
if (hanging !== undefined) {
  const real = Domain.prototype[hanging];
  let isFirst = true;
  Domain.prototype[hanging] = async function answered(...args) {
    const answer = await real.apply(this, args);
    if (!isFirst) return answer;
    isFirst = false;
    return new Promise(() => undefined);
  };
}
