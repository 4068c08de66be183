// Checks the free space beyond the reserve in the directories that runs write to.
import type { Config } from '../../config/config.ts';
import { formatBytes } from '../../core/format-bytes.ts';
import { measureSpace, type SpaceNeed } from '../../domain/space.ts';
import { parseRegistryUrl } from '../../store/registry-url.ts';
import { type DoctorFinding, failure, ok, warning } from './finding.ts';

const GIB = 1024 ** 3;
/** Less than this is a warning. */
const LITTLE = 10 * GIB;
/** The flag or setting that names another directory, if it is not --work-dir. */
const OTHER_PLACE: Readonly<Record<string, string>> = {
  'managed save': 'managedSaveDir, as in libvirt',
  registry: '--registry',
};

export async function checkSpace(config: Config): Promise<DoctorFinding[]> {
  const needs: SpaceNeed[] = [
    { directory: config.workDir, purpose: 'work directory', needed: 0 },
    { directory: config.managedSaveDir, purpose: 'managed save', needed: 0 },
  ];
  const place = parseRegistryUrl(config.registry);
  if (place.kind === 'directory')
    needs.push({ directory: place.path, purpose: 'registry', needed: 0 });
  const rows = await measureSpace(needs, config.reserve);
  return rows.map(({ directory, purpose, available }) => {
    const name = `space, ${purpose}`;
    const detail = `${formatBytes(available)} free beyond the reserve in ${directory}`;
    const hint = `free some space, or choose a larger file system with ${OTHER_PLACE[purpose] ?? '--work-dir'}`;
    if (available === 0) return failure(name, 'NO_SPACE', detail, hint);
    return available < LITTLE ? warning(name, detail, hint) : ok(name, detail);
  });
}
