// Sources outside this host: their label, and the node that qemu-img opens.
import { expect, test } from 'vitest';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

function disk(type: string, source: string, more = '') {
  const xml = `<domain><devices><disk type='${type}' device='disk'>${source}${more}<target dev='vda' bus='virtio'/></disk></devices></domain>`;
  const [first] = parseDomainXml(xml).disks;
  if (!first) throw new Error('no disk');
  return first;
}
const network = (protocol: string, more: string, name = 'web') =>
  disk('network', `<source protocol='${protocol}' name='${name}'>${more}</source>`).remote;
const host = (attributes: string) => `<host ${attributes}/>`;

test.each([
  [
    'nbd over TCP',
    network('nbd', host("name='10.0.0.1' port='10810'")),
    'nbd://10.0.0.1:10810/web',
    { driver: 'nbd', server: { type: 'inet', host: '10.0.0.1', port: '10810' }, export: 'web' },
  ],
  [
    'nbd at its usual port',
    network('nbd', host("name='fe80::1'")),
    'nbd://fe80::1/web',
    { driver: 'nbd', server: { type: 'inet', host: 'fe80::1', port: '10809' }, export: 'web' },
  ],
  [
    'nbd at a socket with a name that hurts',
    network('nbd', host("transport='unix' socket='/run/a,b=c:d e'")),
    'nbd+unix:/run/a,b=c:d e:web',
    { driver: 'nbd', server: { type: 'unix', path: '/run/a,b=c:d e' }, export: 'web' },
  ],
  ['rbd', network('rbd', host("name='mon1' port='6789'"), 'pool/web'), 'rbd:pool/web', null],
  ['iscsi', network('iscsi', host("name='10.0.0.2'"), 'iqn.x/1'), 'iscsi://10.0.0.2/iqn.x/1', null],
  ['https', network('https', host("name='h' port='443'"), '/a.raw'), 'https://h:443/a.raw', null],
  ['ssh', network('ssh', host("name='h'"), '/a.raw'), 'ssh://h/a.raw', null],
])('%s', (_, remote, label, node) => {
  expect(remote).toMatchObject({ label, node });
});

test('a source that needs a secret of libvirt has no node', () => {
  const tls = disk(
    'network',
    `<source protocol='nbd' name='w' tls='yes'>${host("name='h'")}</source>`,
  );
  expect(tls.remote?.node).toBeNull();
  const auth = disk(
    'network',
    `<source protocol='nbd' name='w'>${host("name='h'")}</source>`,
    `<auth username='u'><secret type='ceph' uuid='6f9b0f4c-52a5-4b6c-8ef4-0d6b3b6d7b10'/></auth>`,
  );
  expect(auth.remote).toMatchObject({ label: 'nbd://h/w', node: null });
});

test('files and block devices are on this host; the pool decides for a volume', () => {
  expect(disk('file', "<source file='/a'/>")).toMatchObject({ remote: null, volume: null });
  expect(disk('block', "<source dev='/dev/a'/>")).toMatchObject({ remote: null, volume: null });
  expect(disk('volume', "<source pool='p' volume='v' mode='direct'/>")).toMatchObject({
    source: null,
    remote: null,
    volume: { pool: 'p', volume: 'v', direct: true },
  });
  const nvme = "<source type='pci' managed='yes' namespace='1'><address domain='0x0000'/></source>";
  expect(disk('nvme', nvme).remote).toEqual({ label: 'nvme', protocol: 'nvme', node: null });
});
