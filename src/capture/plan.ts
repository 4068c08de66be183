// From what a domain is and what was asked for to what will be done, and why. Pure.
import { PublishError } from '../core/errors.ts';
import type { CaptureMode, MirrorMethod, QuiescePolicy, SnapshotMode } from '../core/model.ts';
import type { Inspection } from '../domain/inspect.ts';
import { assertSafeToSave, mustGo } from './cold/cold-obstacles.ts';
import { assertQuiescable } from './quiesce-policy.ts';

export interface CapturePlan {
  mode: CaptureMode;
  modeReason: string;
  /** Null where no mirror is needed. */
  method: Exclude<MirrorMethod, 'auto'> | null;
  methodReason: string | null;
  quiesce: QuiescePolicy;
  /** Whether the vCPUs are paused for the point in time, unless the guest can be frozen after all. */
  pauses: boolean;
  /** What is undefined for the time of the mirror, in words. */
  undefines: string[];
  /** XML and address of the devices that cannot be saved. */
  detaches: { xml: string; address: string }[];
}

export interface CaptureRequest {
  mode: SnapshotMode;
  method: MirrorMethod;
  quiesce: QuiescePolicy;
}

/**
 * Decides how the disk is made to hold still.
 * @throws PublishError DISK_UNSUPPORTED, QUIESCE or USAGE where what was asked for cannot be.
 */
export function planCapture(inspection: Inspection, requested: CaptureRequest): CapturePlan {
  const { mode, modeReason } = chooseMode(inspection, requested.mode);
  assertQuiescable(inspection, mode, requested.quiesce);
  const { method, methodReason } =
    mode === 'live'
      ? chooseMethod(inspection, requested.method)
      : { method: null, methodReason: null };
  const undefining = method === 'rebase' && inspection.persistent;
  return {
    mode,
    modeReason,
    method,
    methodReason,
    quiesce: requested.quiesce,
    pauses: mode === 'live' && mustPause(inspection, requested.quiesce),
    undefines: undefining ? undefinedParts(inspection) : [],
    detaches: mode === 'cold' ? unsavable(inspection) : [],
  };
}

/** The same plan with a mirror that needs no undefine. */
export function planWithoutUndefine(plan: CapturePlan, methodReason: string): CapturePlan {
  return { ...plan, method: 'copy', methodReason, undefines: [] };
}

/** Several mirrors end one after the other, and nothing may be written in between. */
function mustPause({ disks, state, agent }: Inspection, quiesce: QuiescePolicy): boolean {
  const isFrozen = quiesce !== 'off' && (agent === 'answers' || agent === 'frozen');
  return disks.length > 1 && state !== 'paused' && !isFrozen;
}

function chooseMode(
  inspection: Inspection,
  wish: SnapshotMode,
): { mode: CaptureMode; modeReason: string } {
  const { active, name, state, hasManagedSave, persistent, disks } = inspection;
  if (!active) {
    if (wish === 'live') {
      throw new PublishError(
        'USAGE',
        `domain ${name} is switched off, so there is nothing to mirror; use --mode auto or cold`,
        { step: 'inspect' },
      );
    }
    const saved = hasManagedSave ? ' and its memory is in a managed save' : '';
    return { mode: 'offline', modeReason: `the domain is switched off${saved}` };
  }
  const obstacle = obstacleToLive(state, disks);
  if (wish === 'cold' || (wish === 'auto' && obstacle !== undefined)) {
    if (!persistent) {
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `domain ${name} is transient, and libvirt saves only persistent domains${obstacle ? `; live is not possible either: ${obstacle}` : '; use --mode live'}`,
        { step: 'inspect' },
      );
    }
    assertSafeToSave(inspection, obstacle);
    return { mode: 'cold', modeReason: obstacle ?? 'asked for' };
  }
  if (obstacle !== undefined) {
    throw new PublishError(
      'DISK_UNSUPPORTED',
      `domain ${name} cannot be taken live: ${obstacle}; use --mode cold`,
      { step: 'inspect' },
    );
  }
  return { mode: 'live', modeReason: wish === 'live' ? 'asked for' : 'the domain is running' };
}

/** NOTE: libvirt refuses a mirror of a shareable disk ("can't pivot a shared disk"), even unpivoted. */
function obstacleToLive(
  state: Inspection['state'],
  disks: Inspection['disks'],
): string | undefined {
  const shared = disks.find(({ disk }) => disk.shareable)?.disk.target;
  if (shared !== undefined)
    return `disk ${shared} is shareable, and libvirt mirrors no shared disk`;
  if (state === 'crashed') return 'the guest has crashed';
  return undefined;
}

function chooseMethod(
  inspection: Inspection,
  wish: MirrorMethod,
): { method: 'rebase' | 'copy'; methodReason: string } {
  if (wish === 'copy') return { method: 'copy', methodReason: 'asked for' };
  const { forGood, forNow } = lossesOfUndefine(inspection);
  if (wish === 'auto') {
    const losses = [...forGood, ...forNow].join(', ');
    return losses === ''
      ? { method: 'rebase', methodReason: 'the default' }
      : { method: 'copy', methodReason: `an undefine could lose ${losses}` };
  }
  if (forGood.length === 0) return { method: 'rebase', methodReason: 'asked for' };
  const loss = forGood.join(', ');
  throw new PublishError(
    'DISK_UNSUPPORTED',
    `method rebase undefines domain ${inspection.name}, which could lose ${loss}; use --method copy`,
    { step: 'inspect' },
  );
}

/**
 * NOTE: while a domain is undefined, a guest that switches itself off makes it vanish with all
 * that hangs on it: the vTPM's state unless it is declared persistent, and the metadata of
 * snapshots and checkpoints, which can be defined again. libvirt has no flag that keeps a managed
 * save image.
 */
function lossesOfUndefine(inspection: Inspection): { forGood: string[]; forNow: string[] } {
  const { persistent, snapshots, checkpoints, hasManagedSave, description } = inspection;
  const forGood: string[] = [];
  const forNow: string[] = [];
  if (!persistent) return { forGood, forNow };
  if (snapshots > 0) forNow.push('the metadata of its snapshots');
  if (checkpoints > 0) forNow.push('the metadata of its checkpoints');
  if (hasManagedSave) forGood.push('its managed save image');
  if (description.tpm && !keepsTpm(inspection)) forGood.push('the state of its vTPM');
  return { forGood, forNow };
}

/** NOTE: KEEP_TPM came with libvirt 8.9; before, an undefine throws the vTPM's state away. */
function keepsTpm({ description, libvirtVersion }: Inspection): boolean {
  return libvirtVersion >= 8_009_000 && description.tpm?.persistentState === true;
}

function undefinedParts({ description, autostart }: Inspection): string[] {
  const parts = ['the persistent configuration (put back from the saved XML)'];
  if (autostart) parts.push('the autostart mark (set again)');
  if (description.nvram !== null) parts.push('not the NVRAM file (kept)');
  if (description.tpm) parts.push('not the vTPM state (kept)');
  return parts;
}

function unsavable({ description }: Inspection): CapturePlan['detaches'] {
  return description.hostdevs
    .filter(({ kind }) => mustGo(kind))
    .map(({ xml, address }) => ({ xml, address }));
}
