// Plans a capture from the inspection and the request: mode, mirror method, and the reasons. Pure.
import { PublishError } from '../core/errors.ts';
import type { CaptureMode, MirrorMethod, QuiescePolicy, SnapshotMode } from '../core/model.ts';
import type { Inspection } from '../domain/inspect.ts';
import { assertSafeToSave, mustGo } from './cold/cold-obstacles.ts';
import { assertQuiescable } from './quiesce-policy.ts';

export interface CapturePlan {
  mode: CaptureMode;
  modeReason: string;
  /** Null if no mirror is needed. */
  method: Exclude<MirrorMethod, 'auto'> | null;
  methodReason: string | null;
  quiesce: QuiescePolicy;
  /** Whether the vCPUs are paused for the point in time, unless the guest can be frozen then. */
  pauses: boolean;
  /** What the undefine removes during the mirror, for messages; empty if the domain is not undefined. */
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
 * Decides which mode and method provide still disks.
 * @throws PublishError DISK_UNSUPPORTED, QUIESCE or USAGE if the request is impossible.
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

/** Returns the plan with a mirror method that needs no undefine. */
export function planWithoutUndefine(plan: CapturePlan, methodReason: string): CapturePlan {
  return { ...plan, method: 'copy', methodReason, undefines: [] };
}

/** Several mirrors end one after the other, and the guest must not write in between. */
function mustPause({ disks, state, agent }: Inspection, quiesce: QuiescePolicy): boolean {
  const isFrozen = quiesce !== 'off' && (agent === 'answers' || agent === 'frozen');
  return disks.length > 1 && state !== 'paused' && !isFrozen;
}

function chooseMode(
  inspection: Inspection,
  requested: SnapshotMode,
): { mode: CaptureMode; modeReason: string } {
  const { active, name, state, hasManagedSave, persistent, disks } = inspection;
  if (!active) {
    if (requested === 'live') {
      throw new PublishError(
        'USAGE',
        `domain ${name} is off, so --mode live has nothing to mirror`,
        { step: 'inspect', hint: 'use --mode auto or --mode cold' },
      );
    }
    const saved = hasManagedSave ? ' and its memory is in a managed save' : '';
    return { mode: 'offline', modeReason: `the domain is off${saved}` };
  }
  const obstacle = obstacleToLive(state, disks);
  if (requested === 'cold' || (requested === 'auto' && obstacle !== undefined)) {
    if (!persistent) {
      throw new PublishError(
        'DISK_UNSUPPORTED',
        `cannot save domain ${name}: it is transient${obstacle ? `, and cannot be taken live: ${obstacle}` : ''}`,
        { step: 'inspect', hint: obstacle ? 'define the domain first' : 'use --mode live' },
      );
    }
    assertSafeToSave(inspection, obstacle);
    return { mode: 'cold', modeReason: obstacle ?? 'requested' };
  }
  if (obstacle !== undefined) {
    throw new PublishError('DISK_UNSUPPORTED', `cannot take domain ${name} live: ${obstacle}`, {
      step: 'inspect',
      hint: 'use --mode cold',
    });
  }
  return { mode: 'live', modeReason: requested === 'live' ? 'requested' : 'the domain is running' };
}

/** NOTE: libvirt refuses a mirror of a shareable disk ("can't pivot a shared disk"), even unpivoted. */
function obstacleToLive(
  state: Inspection['state'],
  disks: Inspection['disks'],
): string | undefined {
  const shared = disks.find(({ disk }) => disk.shareable)?.disk.target;
  if (shared !== undefined)
    return `disk ${shared} is shareable, and libvirt does not mirror shareable disks`;
  if (state === 'crashed') return 'the guest has crashed';
  return undefined;
}

function chooseMethod(
  inspection: Inspection,
  requested: MirrorMethod,
): { method: 'rebase' | 'copy'; methodReason: string } {
  if (requested === 'copy') return { method: 'copy', methodReason: 'requested' };
  const { forGood, forNow } = lossesOfUndefine(inspection);
  if (requested === 'auto') {
    const losses = [...forGood, ...forNow].join(', ');
    return losses === ''
      ? { method: 'rebase', methodReason: 'the default' }
      : { method: 'copy', methodReason: `an undefine could lose ${losses}` };
  }
  if (forGood.length === 0) return { method: 'rebase', methodReason: 'requested' };
  const loss = forGood.join(', ');
  throw new PublishError(
    'DISK_UNSUPPORTED',
    `--method rebase would undefine domain ${inspection.name}, which could lose ${loss}`,
    { step: 'inspect', hint: 'use --method copy' },
  );
}

/**
 * NOTE: if the guest shuts down while its domain is undefined, the domain vanishes. So does the
 * vTPM's state, unless it is declared persistent, and the metadata of snapshots and checkpoints,
 * which can be defined again. libvirt has no flag that keeps a managed save image.
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

/** NOTE: KEEP_TPM exists since libvirt 8.9; before, an undefine removes the vTPM's state. */
function keepsTpm({ description, libvirtVersion }: Inspection): boolean {
  return libvirtVersion >= 8_009_000 && description.tpm?.persistentState === true;
}

function undefinedParts({ description, autostart }: Inspection): string[] {
  const parts = ['the persistent configuration (restored from the saved XML)'];
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
