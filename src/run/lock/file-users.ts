// The users of the files in a folder: domains whose XML names them, and processes that have them open.
import { readdir } from 'node:fs/promises';
import { join } from 'node:path';
import { fileIdentity, findOpeners, isQemu } from '../../host/files/file-openers.ts';
import { isMissing } from '../../host/files/own-folders.ts';
import type { Domain } from '../../libvirt/domain.ts';
import { isLibvirtError, VIR_ERR } from '../../libvirt/errors.ts';
import { VIR_DOMAIN_XML_INACTIVE } from '../../libvirt/ffi/constants.ts';
import type { Host } from '../../libvirt/host.ts';
import { layerPaths, parseDomainXml } from '../../libvirt/xml/domain-xml.ts';

export interface FileUser {
  path: string;
  /** For messages: `disk vda of domain web01` or `process 4711 (qemu-img)`. */
  by: string;
  /** True if it is a guest's disk, or a QEMU has it open for writing: its data must not be lost. */
  isVital: boolean;
}

/**
 * Returns all uses of the files directly in `folder`. Without a `host` only processes are searched.
 *
 * NOTE: only root sees the processes of other users; a domain of another libvirt is seen only by its
 * process.
 * @throws LibvirtError, PublishError LIBVIRT if libvirt does not answer.
 */
export async function findFileUsers(folder: string, host: Host | undefined): Promise<FileUser[]> {
  const files = await filesIn(folder);
  if (files.size === 0) return [];
  const paths = [...files.values()].map(({ path }) => path);
  const domains = host ? await usesByDomains(host, paths) : [];
  return [...domains, ...(await usesByProcesses(files))];
}

interface Known {
  path: string;
  name: string;
}

/** Keys are device and inode. */
async function filesIn(folder: string): Promise<Map<string, Known>> {
  const names = await readdir(folder).catch((error: unknown) => {
    if (isMissing(error)) return [];
    throw error;
  });
  const files = new Map<string, Known>();
  for (const name of names) {
    const path = join(folder, name);
    const id = await fileIdentity(path);
    if (id !== undefined) files.set(id, { path, name });
  }
  return files;
}

async function usesByDomains(host: Host, paths: readonly string[]): Promise<FileUser[]> {
  const uses: FileUser[] = [];
  for (const domain of await (await host.work()).listAllDomains()) {
    for (const { target, named } of await disksOf(domain)) {
      for (const path of paths.filter((one) => named.includes(one))) {
        uses.push({ path, by: `disk ${target} of domain ${domain.name}`, isVital: true });
      }
    }
  }
  return uses;
}

/** Returns the disks of the live and the stored XML; none if the domain vanishes meanwhile. */
async function disksOf(domain: Domain): Promise<{ target: string; named: (string | null)[] }[]> {
  try {
    const xml = [await domain.getXMLDesc(0), await domain.getXMLDesc(VIR_DOMAIN_XML_INACTIVE)];
    return xml.flatMap((text) =>
      parseDomainXml(text).disks.map((disk) => {
        return { target: disk.target, named: [...layerPaths(disk), disk.mirror?.path ?? null] };
      }),
    );
  } catch (error) {
    if (isLibvirtError(error, VIR_ERR.NO_DOMAIN)) return [];
    throw error;
  }
}

async function usesByProcesses(files: ReadonlyMap<string, Known>): Promise<FileUser[]> {
  const openers = await findOpeners(new Map([...files].map(([id, { name }]) => [id, name])));
  return openers.flatMap(({ identity, pid, program, writes }) => {
    const path = files.get(identity)?.path;
    const isVital = isQemu(program) && writes;
    return path === undefined ? [] : [{ path, by: `process ${pid} (${program})`, isVital }];
  });
}
