// Finds the other users of a layer on this host: domains, disks, snapshots, overlays beside it.
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

/** One use of one file; `by` names the user for messages. */
export interface Use {
  path: string;
  by: string;
  /**
   * `reads`: as a disk or a layer below it. `frozen`: a snapshot needs it unchanged. `overlay`: a
   * snapshot names it as the file that it created; its content does not matter. `unknown`: it may be used.
   */
  how: 'reads' | 'frozen' | 'overlay' | 'unknown';
  /** Why it is `unknown`. */
  unknown?: Unknown;
  /** The image that names the volumes of the snapshot. */
  imageId?: string;
}

export interface OwnDisk {
  uuid: string;
  target: string;
  /** The chain's own layers: they read each other, which does not count. */
  layers: readonly string[];
  /** A snapshot of the domain that does not count. */
  snapshot?: string | undefined;
}

/** Returns all uses of `files` except by the disk itself, as far as this host and its libvirt know. */
export async function findUses(host: Host, files: readonly string[], own: OwnDisk): Promise<Use[]> {
  const wanted = await Wanted.of(files);
  const uses: Use[] = [];
  const connection = await host.work();
  for (const domain of await connection.listAllDomains()) {
    uses.push(...(await usesOfDomain(connection, domain, { wanted, own })));
  }
  return [...uses, ...(await usesBeside(files, wanted, own))];
}

/** The files whose uses are searched, by identity. */
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

  /** A use that may be of any of the files. */
  unknownTo(by: string, unknown: Unknown): Use[] {
    return [...this.#paths.values()].map((path) => ({ path, by, unknown, how: 'unknown' }));
  }

  /** The files that are among `paths`. */
  async among(paths: readonly string[]): Promise<string[]> {
    const found = await Promise.all(
      paths.map(async (path) => this.#paths.get((await identityOf(path)) ?? path)),
    );
    return [...new Set(found.filter((path) => path !== undefined))];
  }
}

/** A domain that vanishes meanwhile has no uses. */
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
    // Its files may have been removed with it.
    if (uses.some(({ how }) => how === 'unknown')) await domain.getXMLDesc(0);
    return [...uses, ...(await usesOfSnapshots(connection, domain, { wanted, own }))];
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return [];
    throw error;
  }
}

/** Returns the disks of the live and the stored XML, without the disk of the chain. */
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

/** Replaces the volumes of pools by their files or devices. */
async function placedDisks(connection: Connection, xml: string): Promise<DiskDescription[]> {
  return (await placeVolumes(connection, parseDomainXml(xml))).disks;
}

/**
 * NOTE: a snapshot needs the file that it froze, with all layers below. It also names the overlay
 * that it created: libvirt expects it when the snapshot is reverted or deleted.
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

/** Finds overlays that no domain has, in the folders of the files. */
async function usesBeside(
  files: readonly string[],
  wanted: Wanted,
  { layers }: OwnDisk,
): Promise<Use[]> {
  const known = await Wanted.of([...layers, ...files]);
  const uses: Use[] = [];
  for (const folder of new Set(files.map((file) => dirname(file)))) {
    if (folder === '/dev' || folder.startsWith('/dev/')) continue;
    for (const entry of await readdir(folder, { withFileTypes: true })) {
      const file = join(folder, entry.name);
      if (!entry.isFile() || (await known.among([file])).length > 0) continue;
      const [, ...below] = (await followHeaders(file)).paths;
      const by = `the overlay ${file}`;
      for (const path of await wanted.among(below)) uses.push({ path, by, how: 'reads' });
    }
  }
  return uses;
}
