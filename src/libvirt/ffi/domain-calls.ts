// The calls on a domain, as its worker makes them: synchronous, with the error read at once.
import { checkNull, checkNumber } from './check.ts';
import {
  DOMAIN_STATES,
  VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL,
  VIR_DOMAIN_CHECKPOINT_XML_SECURE,
  VIR_DOMAIN_JOB,
  VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL,
  VIR_DOMAIN_SNAPSHOT_XML_SECURE,
} from './constants.ts';
import * as ffi from './ffi.ts';
import type { Handles } from './handles.ts';
import { type Out, type Pointer, takePointers, takeTypedNumbers } from './native.ts';
import type { DomainApi, DomainState, JobInfo, NamedXml, SnapshotXml } from './protocol.ts';

export function domainCalls(handles: Handles): DomainApi {
  const at = (uuid: string): Pointer => handles.domain(uuid);
  return {
    getXMLDesc: (uuid, flags) =>
      checkNull('virDomainGetXMLDesc', ffi.virDomainGetXMLDesc(at(uuid), flags)),
    getID: (uuid) => getID(handles, uuid),
    isPersistent: (uuid) =>
      checkNumber('virDomainIsPersistent', ffi.virDomainIsPersistent(at(uuid))) === 1,
    isActive: (uuid) => checkNumber('virDomainIsActive', ffi.virDomainIsActive(at(uuid))) === 1,
    getState: (uuid) => getState(at(uuid)),
    getAutostart: (uuid) => {
      const on: Out<number> = [0];
      checkNumber('virDomainGetAutostart', ffi.virDomainGetAutostart(at(uuid), on));
      return on[0] !== 0;
    },
    setAutostart: (uuid, on) =>
      done('virDomainSetAutostart', ffi.virDomainSetAutostart(at(uuid), on ? 1 : 0)),
    undefineFlags: (uuid, flags) =>
      done('virDomainUndefineFlags', ffi.virDomainUndefineFlags(at(uuid), flags)),
    createWithFlags: (uuid, flags) =>
      done('virDomainCreateWithFlags', ffi.virDomainCreateWithFlags(at(uuid), flags)),
    suspend: (uuid) => done('virDomainSuspend', ffi.virDomainSuspend(at(uuid))),
    resume: (uuid) => done('virDomainResume', ffi.virDomainResume(at(uuid))),
    destroy: (uuid) => done('virDomainDestroy', ffi.virDomainDestroy(at(uuid))),
    managedSave: (uuid, flags) =>
      done('virDomainManagedSave', ffi.virDomainManagedSave(at(uuid), flags)),
    hasManagedSaveImage: (uuid) => {
      const call = 'virDomainHasManagedSaveImage';
      return checkNumber(call, ffi.virDomainHasManagedSaveImage(at(uuid), 0)) === 1;
    },
    managedSaveGetXMLDesc: (uuid) => {
      const call = 'virDomainManagedSaveGetXMLDesc';
      return checkNull(call, ffi.virDomainManagedSaveGetXMLDesc(at(uuid), 0));
    },
    managedSaveRemove: (uuid) =>
      done('virDomainManagedSaveRemove', ffi.virDomainManagedSaveRemove(at(uuid), 0)),
    getJobInfo: (uuid) => getJobInfo(at(uuid)),
    getJobOperation: (uuid) => getJobOperation(at(uuid)),
    abortJob: (uuid) => done('virDomainAbortJob', ffi.virDomainAbortJob(at(uuid))),
    attachDeviceFlags: (uuid, xml, flags) =>
      done('virDomainAttachDeviceFlags', ffi.virDomainAttachDeviceFlags(at(uuid), xml, flags)),
    detachDeviceFlags: (uuid, xml, flags) =>
      done('virDomainDetachDeviceFlags', ffi.virDomainDetachDeviceFlags(at(uuid), xml, flags)),
    listSnapshots: (uuid) => listSnapshots(at(uuid)),
    listCheckpoints: (uuid) => listCheckpoints(at(uuid)),
    snapshotCreateXML: (uuid, xml, flags) => {
      const snapshot = ffi.virDomainSnapshotCreateXML(at(uuid), xml, flags);
      ffi.virDomainSnapshotFree(checkNull('virDomainSnapshotCreateXML', snapshot));
    },
    snapshotDelete: (uuid, name, flags) => {
      const found = ffi.virDomainSnapshotLookupByName(at(uuid), name, 0);
      const snapshot = checkNull('virDomainSnapshotLookupByName', found);
      try {
        done('virDomainSnapshotDelete', ffi.virDomainSnapshotDelete(snapshot, flags));
      } finally {
        ffi.virDomainSnapshotFree(snapshot);
      }
    },
    checkpointCreateXML: (uuid, xml, flags) => {
      const checkpoint = ffi.virDomainCheckpointCreateXML(at(uuid), xml, flags);
      ffi.virDomainCheckpointFree(checkNull('virDomainCheckpointCreateXML', checkpoint));
    },
  };
}

/** NOTE: the C library keeps the id of the time when it looked the domain up, so that is done again. */
function getID(handles: Handles, uuid: string): number | null {
  const found = ffi.virDomainLookupByUUIDString(handles.connection, uuid);
  const domain = checkNull('virDomainLookupByUUIDString', found);
  handles.keep(domain);
  const id = ffi.virDomainGetID(domain);
  return id === NO_ID ? null : id;
}

/** `(unsigned int)-1`. */
const NO_ID = 0xffff_ffff;

function done(call: string, result: number): void {
  checkNumber(call, result);
}

function getState(domain: Pointer): { state: DomainState; reason: number } {
  const state: Out<number> = [0];
  const reason: Out<number> = [0];
  checkNumber('virDomainGetState', ffi.virDomainGetState(domain, state, reason, 0));
  return { state: DOMAIN_STATES[state[0]] ?? 'nostate', reason: reason[0] };
}

function getJobInfo(domain: Pointer): JobInfo {
  const info: Partial<ffi.JobInfoStruct> = {};
  checkNumber('virDomainGetJobInfo', ffi.virDomainGetJobInfo(domain, info));
  return {
    type: info.type ?? 0,
    dataTotal: Number(info.dataTotal),
    dataProcessed: Number(info.dataProcessed),
    dataRemaining: Number(info.dataRemaining),
    timeElapsedMs: Number(info.timeElapsed),
  };
}

function getJobOperation(domain: Pointer): number | null {
  const type: Out<number> = [0];
  const params: Out<Pointer | null> = [null];
  const count: Out<number> = [0];
  const result = ffi.virDomainGetJobStats(domain, type, params, count, 0);
  checkNumber('virDomainGetJobStats', result);
  const operation = takeTypedNumbers(params[0], count[0]).get('operation');
  return type[0] === VIR_DOMAIN_JOB.NONE ? null : (operation ?? null);
}

function listSnapshots(domain: Pointer): SnapshotXml[] {
  const list: Out<Pointer | null> = [null];
  const flags = VIR_DOMAIN_SNAPSHOT_LIST_TOPOLOGICAL;
  const count = ffi.virDomainListAllSnapshots(domain, list, flags);
  checkNumber('virDomainListAllSnapshots', count);
  const snapshots = takePointers(list[0], count);
  try {
    return snapshots.map((snapshot) => {
      const name = ffi.virDomainSnapshotGetName(snapshot);
      const xml = ffi.virDomainSnapshotGetXMLDesc(snapshot, VIR_DOMAIN_SNAPSHOT_XML_SECURE);
      return {
        name: checkNull('virDomainSnapshotGetName', name),
        xml: checkNull('virDomainSnapshotGetXMLDesc', xml),
        isCurrent: ffi.virDomainSnapshotIsCurrent(snapshot, 0) === 1,
      };
    });
  } finally {
    for (const snapshot of snapshots) ffi.virDomainSnapshotFree(snapshot);
  }
}

function listCheckpoints(domain: Pointer): NamedXml[] {
  const list: Out<Pointer | null> = [null];
  const flags = VIR_DOMAIN_CHECKPOINT_LIST_TOPOLOGICAL;
  const count = ffi.virDomainListAllCheckpoints(domain, list, flags);
  checkNumber('virDomainListAllCheckpoints', count);
  const checkpoints = takePointers(list[0], count);
  try {
    return checkpoints.map((checkpoint) => {
      const name = ffi.virDomainCheckpointGetName(checkpoint);
      const xml = ffi.virDomainCheckpointGetXMLDesc(checkpoint, VIR_DOMAIN_CHECKPOINT_XML_SECURE);
      return {
        name: checkNull('virDomainCheckpointGetName', name),
        xml: checkNull('virDomainCheckpointGetXMLDesc', xml),
      };
    });
  } finally {
    for (const checkpoint of checkpoints) ffi.virDomainCheckpointFree(checkpoint);
  }
}
