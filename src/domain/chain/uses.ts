// Who else on this host needs a layer: other domains, other disks, snapshots, overlays beside it.
import { readdir } from 'node:fs/promises';
import { dirname, join } from 'node:path';
import type { Connection } from '../../libvirt/connection.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import { VIR_DOMAIN_XML_INACTIVE } from '../../libvirt/ffi/constants.ts';
import type { Host } from '../../libvirt/host.ts';
import { type DiskDescription, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';
import { parseSnapshotXml } from '../../libvirt/xml/snapshot-xml.ts';
import { imageOfMark } from '../image-mark.ts';
import { placeVolumes } from '../remote-disk.ts';
import { followHeaders, identityOf } from './backing-header.ts';
import { readsOf, type Unknown } from './disk-reads.ts';

/** One use of one file, `by` in words. */
export interface Use {
  path: string;
  by: string;
  /**
   * `reads`: as its disk or below it. `frozen`: a snapshot holds it as it is. `overlay`: a snapshot
   * names it as the file that it made, whatever is in it. `unknown`: nobody can tell.
   */
  how: 'reads' | 'frozen' | 'overlay' | 'unknown';
  /** Why it is `unknown`. */
  unknown?: Unknown;
  /** The image that names what the snapshot holds. */
  imageId?: string;
}

export interface OwnDisk {
  uuid: string;
  target: string;
  /** The chain's own layers: that they read each other is no use by somebody else. */
  layers: readonly string[];
  /** A snapshot of the domain that is no use either. */
  snapshot?: string | undefined;
}

/** All uses of `files` but those by the disk itself, as far as this host and its libvirt know. */
export async function findUses(host: Host, files: readonly string[], own: OwnDisk): Promise<Use[]> {
  const wanted = await Wanted.of(files);
  const uses: Use[] = [];
  const connection = await host.work();
  for (const domain of await connection.listAllDomains()) {
    uses.push(...(await usesOfDomain(connection, domain, { wanted, own })));
  }
  return [...uses, ...(await usesBeside(files, wanted, own))];
}

/** The files that are asked for, by what tells files apart. */
class Wanted {
  readonly #paths: ReadonlyMap<string, string>;

  private constructor(paths: ReadonlyMap<string, string>) {
    this.#paths = paths;
  }

  static async of(files: readonly string[]): Promise<Wanted> {
    const pairs = await Promise.all(
      files.map(async (path) => [(await identityOf(path)) ?? path, path] as const),
    );
    return new Wanted(new Map(pairs));
  }

  /** It may be any of them. */
  unknownTo(by: string, unknown: Unknown): Use[] {
    return [...this.#paths.values()].map((path) => ({ path, by, unknown, how: 'unknown' }));
  }

  /** Those of them that are among `paths`. */
  async among(paths: readonly string[]): Promise<string[]> {
    const found = await Promise.all(
      paths.map(async (path) => this.#paths.get((await identityOf(path)) ?? path)),
    );
    return [...new Set(found.filter((path) => path !== undefined))];
  }
}

/** A domain that goes away while it is looked at uses nothing any more. */
async function usesOfDomain(
  connection: Connection,
  domain: Domain,
  { wanted, own }: { wanted: Wanted; own: OwnDisk },
): Promise<Use[]> {
  try {
    const uses: Use[] = [];
    for (const disk of await disksOf(connection, domain, own)) {
      const { paths, unknown } = await readsOf(disk);
      const found = await wanted.among(paths);
      const by = `disk ${disk.target} of domain ${domain.name}`;
      uses.push(...found.map((path) => ({ path, by, how: 'reads' as const })));
      if (unknown) uses.push(...wanted.unknownTo(by, unknown));
    }
    // Its files may have gone with it.
    if (uses.some(({ how }) => how === 'unknown')) await domain.getXMLDesc(0);
    return [...uses, ...(await usesOfSnapshots(connection, domain, { wanted, own }))];
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return [];
    throw error;
  }
}

/** As it runs and as it is defined; the disk that is worked on is not somebody else. */
async function disksOf(
  connection: Connection,
  domain: Domain,
  own: OwnDisk,
): Promise<DiskDescription[]> {
  const live = await placedDisks(connection, await domain.getXMLDesc(0));
  const stored = (await domain.isPersistent())
    ? await placedDisks(connection, await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE))
    : [];
  const isOwn = (disk: DiskDescription) => domain.uuid === own.uuid && disk.target === own.target;
  const isLive = ({ source, target }: DiskDescription) =>
    source !== null && live.some((disk) => disk.target === target && disk.source === source);
  return [...live.filter((disk) => !isOwn(disk)), ...stored.filter((disk) => !isLive(disk))];
}

/** A volume of a pool is a file or a device as well. */
async function placedDisks(connection: Connection, xml: string): Promise<DiskDescription[]> {
  return (await placeVolumes(connection, parseDomainXml(xml))).disks;
}

/**
 * NOTE: a snapshot holds the file that it froze, with all below that, and names the overlay that it
 * made, which libvirt looks for when the snapshot is reverted to or deleted.
 */
async function usesOfSnapshots(
  connection: Connection,
  domain: Domain,
  { wanted, own }: { wanted: Wanted; own: OwnDisk },
): Promise<Use[]> {
  const uses: Use[] = [];
  for (const { name, xml } of await domain.listSnapshots()) {
    if (domain.uuid === own.uuid && name === own.snapshot) continue;
    const { domainXml, disks, description } = parseSnapshotXml(xml);
    const frozen = domainXml === null ? [] : await placedDisks(connection, domainXml);
    const below = await Promise.all(
      frozen
        .flatMap(({ source }) => source ?? [])
        .map(async (path) => (await followHeaders(path)).paths),
    );
    const overlays = disks.flatMap(({ source }) => source ?? []);
    const imageId = imageOfMark(description);
    const use = {
      by: `snapshot ${name} of domain ${domain.name}`,
      ...(imageId === null ? {} : { imageId }),
    };
    for (const path of await wanted.among(below.flat())) uses.push({ path, ...use, how: 'frozen' });
    for (const path of await wanted.among(overlays)) uses.push({ path, ...use, how: 'overlay' });
  }
  return uses;
}

/** Overlays that no domain has, in the folders of the files themselves. */
async function usesBeside(
  files: readonly string[],
  wanted: Wanted,
  { layers }: OwnDisk,
): Promise<Use[]> {
  const ours = await Wanted.of([...layers, ...files]);
  const uses: Use[] = [];
  for (const folder of new Set(files.map((file) => dirname(file)))) {
    if (folder === '/dev' || folder.startsWith('/dev/')) continue;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const file = join(folder, entry.name);
      if (!entry.isFile() || (await ours.among([file])).length > 0) continue;
      const [, ...below] = (await followHeaders(file)).paths;
      const by = `the overlay ${file}`;
      for (const path of await wanted.among(below)) uses.push({ path, by, how: 'reads' });
    }
  }
  return uses;
}
