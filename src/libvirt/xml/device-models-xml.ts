// The models of a guest's devices that an image record contains. Pure.
import type { XmlElement } from './xml-tree.ts';

/** libvirt's names; null if the domain has no such device, or leaves its model to libvirt. */
export interface ModelDescriptions {
  /** Model of the SCSI controllers; null also if they differ. */
  scsi: string | null;
  /** Model of the primary video device. */
  video: string | null;
  rng: string | null;
  /** Action of the watchdog. */
  watchdogAction: string | null;
  /** Whether the firmware shows its boot menu; null if the XML does not specify it. */
  bootMenu: boolean | null;
}

export function describeModels(domain: XmlElement): ModelDescriptions {
  const devices = domain.find('devices');
  const bootMenu = domain.find('os', 'bootmenu')?.attribute('enable') ?? null;
  return {
    scsi: scsiModel(devices?.children('controller') ?? []),
    video: videoModel(devices?.children('video') ?? []),
    rng: devices?.find('rng')?.attribute('model') ?? null,
    watchdogAction: devices?.find('watchdog')?.attribute('action') ?? null,
    bootMenu: bootMenu === null ? null : bootMenu === 'yes',
  };
}

function scsiModel(controllers: readonly XmlElement[]): string | null {
  const scsi = controllers.filter((controller) => controller.attribute('type') === 'scsi');
  const models = new Set(scsi.map((controller) => controller.attribute('model')));
  const [model = null] = models;
  return models.size === 1 ? model : null;
}

function videoModel(videos: readonly XmlElement[]): string | null {
  const models = videos.map((video) => video.find('model'));
  const primary = models.find((model) => model?.attribute('primary') === 'yes') ?? models[0];
  return primary?.attribute('type') ?? null;
}
