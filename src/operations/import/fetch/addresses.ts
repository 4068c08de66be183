// The addresses that a foreign URL may lead to: public ones, unless more is allowed. Pure, except the lookup.
import { lookup } from 'node:dns';
import { BlockList, isIP, type LookupFunction } from 'node:net';
import { PublishError } from '../../../core/errors.ts';

// Addresses that are not public: RFC 6890 and the registries of IANA.
const NOT_PUBLIC: readonly [string, number][] = [
  ...(
    [
      ['0.0.0.0', 8],
      ['10.0.0.0', 8],
      ['100.64.0.0', 10],
      ['127.0.0.0', 8],
      ['169.254.0.0', 16],
      ['172.16.0.0', 12],
      ['192.0.0.0', 24],
      ['192.0.2.0', 24],
      ['192.88.99.0', 24],
      ['192.168.0.0', 16],
      ['198.18.0.0', 15],
      ['198.51.100.0', 24],
      ['203.0.113.0', 24],
      ['224.0.0.0', 3],
    ] as const
  ).map(([net, bits]): [string, number] => [net, bits]),
];

/** In IPv6 only 2000::/3 is public, without its tunnels and its documentation. */
const NOT_PUBLIC_6: readonly [string, number][] = [
  ['2001::', 23],
  ['2001:db8::', 32],
  ['2002::', 16],
  ['3fff::', 20],
];

const blocked = new BlockList();
for (const [net, bits] of NOT_PUBLIC) blocked.addSubnet(net, bits, 'ipv4');
for (const [net, bits] of NOT_PUBLIC_6) blocked.addSubnet(net, bits, 'ipv6');
const global6 = new BlockList();
global6.addSubnet('2000::', 3, 'ipv6');

/** Whether the address is public: a foreign URL must not reach a local service. */
export function isPublic(address: string): boolean {
  const kind = isIP(address);
  if (kind === 4) return !blocked.check(address, 'ipv4');
  if (kind !== 6) return false;
  const mapped = /^::ffff:(\d+\.\d+\.\d+\.\d+)$/i.exec(address)?.[1];
  if (mapped !== undefined) return isPublic(mapped);
  return global6.check(address, 'ipv6') && !blocked.check(address, 'ipv6');
}

/**
 * A lookup for sockets that returns public addresses only. The checked address is the one that is
 * connected to, even if the name server answers differently a second time.
 */
export const lookupPublic: LookupFunction = (hostname, options, callback) => {
  lookup(hostname, { ...options, all: true }, (error, addresses) => {
    if (error) return callback(error, []);
    const bad = addresses.find(({ address }) => !isPublic(address));
    const [first] = addresses;
    if (bad !== undefined || first === undefined) {
      return callback(notPublic(hostname, bad?.address ?? 'nothing'), []);
    }
    if (options.all === true) return callback(null, addresses);
    callback(null, first.address, first.family);
  });
};

export function notPublic(host: string, address: string): PublishError {
  const at = host === address ? address : `${host} (${address})`;
  const message = `${at} is not a public address`;
  const hint = 'use --allow-private if you trust the address';
  return new PublishError('DOWNLOAD', message, { step: 'download', hint });
}
