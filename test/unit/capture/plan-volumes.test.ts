// The plan of volume snapshots, and the domains that it rejects, with captured XML of pools of all types.
import { describe, expect, it } from 'vitest';
import { planVolumes } from '#built/capture/volumes/plan-volumes.js';
import { parseDomainXml } from '#built/libvirt/xml/domain-xml.js';
import {
  describeVolume,
  overlaySnapshotXml,
  volumeSnapshotXml,
} from '#built/libvirt/xml/storage-xml.js';

const GIB = 1024 ** 3;

/** As libvirt 9.0 gives them for an LVM volume. */
function lvm(name: string, { type = 'logical', available = 100 * GIB } = {}) {
  return describeVolume({
    pool: {
      name: 'vg0',
      xml: `<pool type='${type}'><name>vg0</name><capacity unit='bytes'>${200 * GIB}</capacity><available unit='bytes'>${available}</available><source><name>vg0</name><format type='lvm2'/></source><target><path>/dev/vg0</path></target></pool>`,
    },
    name,
    xml: `<volume type='block'><name>${name}</name><key>x</key><capacity unit='bytes'>${10 * GIB}</capacity><allocation unit='bytes'>${10 * GIB}</allocation><target><path>/dev/vg0/${name}</path></target></volume>`,
  });
}

function file(name: string) {
  return describeVolume({
    pool: {
      name: 'images',
      xml: `<pool type='dir'><name>images</name><available unit='bytes'>1</available><target><path>/images</path></target></pool>`,
    },
    name,
    xml: `<volume type='file'><name>${name}</name><capacity unit='bytes'>${GIB}</capacity><target><path>/images/${name}</path><format type='qcow2'/></target></volume>`,
  });
}

function disk(target: string, inner = '') {
  const xml = `<domain><devices><disk type='block' device='disk'><driver name='qemu' type='raw'/><source dev='/dev/x'/><target dev='${target}' bus='virtio'/>${inner}</disk></devices></domain>`;
  const [only] = parseDomainXml(xml).disks;
  if (!only) throw new Error('no disk');
  return only;
}

const domain = { name: 'web01', active: true };
const mark = 'vp-4c1d0a2b';

describe('`planVolumes`', () => {
  it('plans a snapshot volume of each LVM volume, the root disk first, also for a domain that is off', () => {
    const disks = [
      { disk: disk('vda', "<boot order='2'/>"), volume: lvm('data') },
      { disk: disk('vdb', "<boot order='1'/>"), volume: lvm('root') },
      { disk: disk('vdc'), volume: lvm('more') },
    ];
    const { kind, volumes } = planVolumes({ ...domain, active: false, disks }, mark);
    expect(kind).toBe('volume');
    expect(volumes.map(({ target, bootIndex, snapshot }) => [target, bootIndex, snapshot])).toEqual(
      [
        ['vdb', 0, `root-${mark}`],
        ['vda', 1, `data-${mark}`],
        ['vdc', null, `more-${mark}`],
      ],
    );
    expect(volumes[0]).toMatchObject({ overlay: null, format: 'raw', virtualSize: 10 * GIB });
  });

  it('plans an overlay beside each file, named after the run; the file is the snapshot', () => {
    const at = (name: string) =>
      planVolumes({ ...domain, disks: [{ disk: disk('vda'), volume: file(name) }] }, mark)
        .volumes[0];
    expect(at('web.qcow2')).toMatchObject({
      ...{ snapshot: 'web.qcow2', overlay: `/images/web.${mark}.qcow2` },
    });
    expect(at('web.vp-00112233.qcow2')?.overlay).toBe(`/images/web.${mark}.qcow2`);
    expect(at('a, b; c')?.overlay).toBe(`/images/a, b; c.${mark}.qcow2`);
  });
});

describe('`planVolumes` rejects, with the name of the disk,', () => {
  const root = { disk: disk('vda'), volume: lvm('root') };
  const refused = (disks: Parameters<typeof planVolumes>[0]['disks'], active = true) =>
    expect(() => planVolumes({ ...domain, active, disks }, mark));

  it('a disk that is no volume, is in another kind of pool, or is shareable', () => {
    refused([root, { disk: disk('vdb'), volume: undefined }]).toThrow(
      /disk vdb of .* is not a volume/,
    );
    refused([root, { disk: disk('vdb'), volume: file('b.qcow2') }]).toThrow(
      /disk vdb .* is in the dir pool images, and disk vda in the logical pool vg0/,
    );
    const rbd = { disk: disk('vda'), volume: lvm('x', { type: 'rbd' }) };
    refused([rbd]).toThrow(/disk vda .* pool vg0 of type rbd; .* logical, dir, fs, netfs/);
    refused([{ ...root, disk: disk('vda', '<shareable/>') }]).toThrow(/vda .* is shareable/);
    refused([]).toThrow(/has no disk/);
  });

  it('files of a domain that is off, and a volume group that is too small', () => {
    refused([{ disk: disk('vda'), volume: file('a.qcow2') }], false).toThrow(/is off$/);
    const full = { available: 15 * GIB };
    const disks = ['a', 'b'].map((name) => ({ disk: disk(`vd${name}`), volume: lvm(name, full) }));
    refused(disks).toThrow(/20\.4 GiB in pool vg0, .* and 15 GiB are free/);
    refused(disks).toThrow(expect.objectContaining({ code: 'NO_SPACE' }));
  });
});

it('the XML requests an LVM snapshot that cannot run full, and overlays of the named disks only', () => {
  const xml = volumeSnapshotXml(lvm('root'), 'root-x');
  const size = /<capacity unit="bytes">(\d+)</.exec(xml)?.[1];
  expect(Number(size)).toBeGreaterThan(10 * GIB);
  expect(xml).toContain(`<allocation unit="bytes">${size}</allocation>`);
  expect(xml.replace(/\s+/g, '')).toContain(
    '<backingStore><path>/dev/vg0/root</path></backingStore>',
  );
  const disks = [
    { target: 'vda', overlay: '/images/a & b.qcow2' },
    { target: 'sda', overlay: null },
  ];
  const snapshot = overlaySnapshotXml(mark, 'of an image', disks).replace(/\n\s*/g, '');
  expect(snapshot).toContain(
    '<disk name="vda" snapshot="external" type="file"><driver type="qcow2"/><source file="/images/a &amp; b.qcow2"/></disk><disk name="sda" snapshot="no"/>',
  );
});

it('`parseDomainXml` reads pool and volume of a disk of type volume', () => {
  const xml = `<domain><devices><disk type='volume' device='disk'><source pool='vg0' volume='root'/><target dev='vda' bus='virtio'/></disk></devices></domain>`;
  expect(parseDomainXml(xml).disks[0]).toMatchObject({
    ...{ type: 'volume', source: null, volume: { pool: 'vg0', volume: 'root' } },
  });
});
