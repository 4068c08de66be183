// The models of a guest's devices that an image asks for again. Pure.
import type { XmlElement } from './xml-tree.ts';

/** As libvirt names them; null where the domain has no such device, or leaves its model to libvirt. */
export interface ModelDescriptions {
  /** Of the SCSI controllers; null too where they differ. */
  scsi: string | null;
  /** Of the primary video device. */
  video: string | null;
  rng: string | null;
  /** What the watchdog does. */
  watchdogAction: string | null;
  /** Whether the firmware offers its boot menu; null where that is left to it. */
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
