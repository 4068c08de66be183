// The calls on a domain's disks and guest agent, as its worker makes them.
import { existsSync } from 'node:fs';
import { type DomainStatus, readStatus, statusPath } from '../status-xml.ts';
import { checkNull, checkNumber } from './check.ts';
import {
  DISK_ERRORS,
  VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
  VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES,
  VIR_DOMAIN_GUEST_INFO_OS,
  VIR_DOMAIN_TIME_SYNC,
} from './constants.ts';
import * as ffi from './ffi.ts';
import type { Handles } from './handles.ts';
import {
  DISK_ERROR_SIZE,
  type Integer,
  type Out,
  type Pointer,
  takeDiskErrors,
  takeTypedStrings,
} from './native.ts';
import type { BlockInfo, BlockJobInfo, DiskErrorKind, GuestApi } from './protocol.ts';

export function guestCalls(handles: Handles): GuestApi {
  const at = (uuid: string): Pointer => handles.domain(uuid);
  return {
    blockRebase: (uuid, disk, base, bandwidthMib, flags) => {
      const result = ffi.virDomainBlockRebase(at(uuid), disk, base, bandwidthMib, flags);
      checkNumber('virDomainBlockRebase', result);
    },
    blockCommit: (uuid, disk, { base, top }, bandwidthMib, flags) => {
      const result = ffi.virDomainBlockCommit(at(uuid), disk, base, top, bandwidthMib, flags);
      checkNumber('virDomainBlockCommit', result);
    },
    blockPull: (uuid, disk, bandwidthMib, flags) => {
      const result = ffi.virDomainBlockPull(at(uuid), disk, bandwidthMib, flags);
      checkNumber('virDomainBlockPull', result);
    },
    blockCopy: (uuid, disk, destXml, { bandwidthBytes }, flags) => {
      const params = bandwidthBytes === undefined ? [] : [bandwidth(bandwidthBytes)];
      const list = params.length === 0 ? null : params;
      const result = ffi.virDomainBlockCopy(at(uuid), disk, destXml, list, params.length, flags);
      checkNumber('virDomainBlockCopy', result);
    },
    blockJobInfo: (uuid, disk) => blockJobInfo(at(uuid), disk),
    blockJobAbort: (uuid, disk, flags) => {
      checkNumber('virDomainBlockJobAbort', ffi.virDomainBlockJobAbort(at(uuid), disk, flags));
    },
    getBlockInfo: (uuid, disk) => getBlockInfo(at(uuid), disk),
    getDiskErrors: (uuid) => getDiskErrors(at(uuid)),
    fsFreeze: (uuid, mountpoints) => {
      const list = mountpoints.length === 0 ? null : [...mountpoints];
      const result = ffi.virDomainFSFreeze(at(uuid), list, mountpoints.length, 0);
      return checkNumber('virDomainFSFreeze', result);
    },
    fsThaw: (uuid) => checkNumber('virDomainFSThaw', ffi.virDomainFSThaw(at(uuid), null, 0, 0)),
    agentSetResponseTimeout: (uuid, seconds) => {
      const result = ffi.virDomainAgentSetResponseTimeout(at(uuid), seconds, 0);
      checkNumber('virDomainAgentSetResponseTimeout', result);
    },
    status: (uuid) => statusOf(handles, uuid),
    seesDaemon: (uuid) => existsSync(statusPath(handles.uri, nameOf(handles, uuid))),
    qemuAgentCommand: (uuid, json, timeoutS) =>
      checkNull(
        'virDomainQemuAgentCommand',
        ffi.virDomainQemuAgentCommand(at(uuid), json, timeoutS, 0),
      ),
    getGuestOs: (uuid) => getGuestOs(at(uuid)),
    getTime: (uuid) => {
      const seconds: Out<Integer> = [0];
      checkNumber('virDomainGetTime', ffi.virDomainGetTime(at(uuid), seconds, [0], 0));
      return Number(seconds[0]);
    },
    setTimeSync: (uuid) => {
      const result = ffi.virDomainSetTime(at(uuid), 0, 0, VIR_DOMAIN_TIME_SYNC);
      checkNumber('virDomainSetTime', result);
    },
  };
}

function statusOf(handles: Handles, uuid: string): DomainStatus | undefined {
  return readStatus(handles.uri, { name: nameOf(handles, uuid), uuid });
}

function nameOf(handles: Handles, uuid: string): string {
  return checkNull('virDomainGetName', ffi.virDomainGetName(handles.domain(uuid)));
}

function getGuestOs(domain: Pointer): string | null {
  const params: Out<Pointer | null> = [null];
  const count: Out<number> = [0];
  const result = ffi.virDomainGetGuestInfo(domain, VIR_DOMAIN_GUEST_INFO_OS, params, count, 0);
  checkNumber('virDomainGetGuestInfo', result);
  return takeTypedStrings(params[0], count[0]).get('os.id') ?? null;
}

function bandwidth(bytes: number): ffi.TypedParameter {
  return {
    field: VIR_DOMAIN_BLOCK_COPY_BANDWIDTH,
    type: ffi.VIR_TYPED_PARAM_ULLONG,
    value: bytes,
  };
}

// NOTE: cur and end do not tell when a mirror is ready: libvirt reports 0 of 1 for a job that has
// not started and holds cur one below end until it is. `<mirror ready='yes'>` in the live XML does.
function blockJobInfo(domain: Pointer, disk: string): BlockJobInfo | undefined {
  const info: Partial<ffi.BlockJobInfoStruct> = {};
  const flags = VIR_DOMAIN_BLOCK_JOB_INFO_BANDWIDTH_BYTES;
  const result = ffi.virDomainGetBlockJobInfo(domain, disk, info, flags);
  if (checkNumber('virDomainGetBlockJobInfo', result) === 0) return undefined;
  return {
    type: info.type ?? 0,
    bandwidth: Number(info.bandwidth),
    cur: Number(info.cur),
    end: Number(info.end),
  };
}

function getBlockInfo(domain: Pointer, disk: string): BlockInfo {
  const info: Partial<ffi.BlockInfoStruct> = {};
  checkNumber('virDomainGetBlockInfo', ffi.virDomainGetBlockInfo(domain, disk, info, 0));
  return {
    capacity: Number(info.capacity),
    allocation: Number(info.allocation),
    physical: Number(info.physical),
  };
}

function getDiskErrors(domain: Pointer): { disk: string; error: DiskErrorKind }[] {
  const call = 'virDomainGetDiskErrors';
  const disks = checkNumber(call, ffi.virDomainGetDiskErrors(domain, null, 0, 0));
  if (disks === 0) return [];
  const buffer = Buffer.alloc(disks * DISK_ERROR_SIZE);
  const count = checkNumber(call, ffi.virDomainGetDiskErrors(domain, buffer, disks, 0));
  return takeDiskErrors(buffer, count).map(({ disk, error }) => {
    const kind = DISK_ERRORS[error];
    return { disk, error: kind === undefined || kind === 'none' ? 'unspec' : kind };
  });
}
