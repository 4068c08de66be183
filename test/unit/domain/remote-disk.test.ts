// `placeVolumes` uses the path that libvirt reports for a volume; others count as outside this host.
import { expect, test } from 'vitest';
import { placeVolumes } from '#built/domain/remote-disk.js';
import { LibvirtError } from '#built/libvirt/errors.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';

const volume = (more = '') =>
  parseDomainXml(
    `<domain><devices><disk type='volume'><source pool='p' volume='v'${more}/><target dev='vda'/></disk><disk type='file'><source file='/f'/><target dev='vdb'/></disk></devices></domain>`,
  );
const place = async (
  lookupVolume: () => Promise<{ type: 'file' | 'block' | 'other'; path: string }>,
  more = '',
) => {
  const [first, second] = (await placeVolumes({ lookupVolume }, volume(more))).disks;
  expect(second).toMatchObject({ source: '/f', type: 'file', remote: null });
  return first;
};

test.each(['file', 'block'] as const)(
  '`placeVolumes` uses the path of a %s volume',
  async (type) => {
    expect(await place(async () => ({ type, path: '/p/v' }))).toMatchObject({
      ...{ type, source: '/p/v', remote: null },
    });
  },
);

test('`placeVolumes` counts an object of a cluster as outside this host', async () => {
  const found = await place(async () => ({ type: 'other', path: 'p/v' }));
  expect(found).toMatchObject({ source: null, remote: { protocol: 'volume', node: null } });
});

test('`placeVolumes` counts a volume of a stopped pool as outside this host', async () => {
  const refusal = {
    code: 55,
    domain: 18,
    call: 'virStorageVolLookupByName',
    message: 'not active',
  };
  const found = await place(() => Promise.reject(new LibvirtError(refusal)));
  expect(found?.remote?.label).toMatch(/^volume v of pool p \(not active/);
});

test('`placeVolumes` counts a volume that QEMU accesses directly as outside this host', async () => {
  const never = () => Promise.reject(new Error('asked for'));
  expect((await place(never, " mode='direct'"))?.remote?.label).toContain('direct');
});
