// Loaded by `NODE_OPTIONS=--import`: pretends that the domain has a PCI host device; FAKE_HOSTDEV names the file with its state.
import { appendFileSync, readFileSync } from 'node:fs';
import { Domain } from '../../build/libvirt/domain.js';

const file = process.env.FAKE_HOSTDEV ?? '';
const isAttached = () => readFileSync(file, 'utf8').trim().split('\n').at(-1) === 'attached';
const { getXMLDesc } = Domain.prototype;

Domain.prototype.getXMLDesc = async function withDevice(flags) {
  const xml = await getXMLDesc.call(this, flags);
  return isAttached()
    ? xml.replace('</devices>', `${process.env.FAKE_HOSTDEV_XML}</devices>`)
    : xml;
};
// This host has no such device, so its existence is not checked.
Domain.prototype.seesDaemon = async () => false;
Domain.prototype.detachDeviceFlags = async (xml) => move('detached', xml);
Domain.prototype.attachDeviceFlags = async (xml) => move('attached', xml);

function move(where, xml) {
  if (!xml.includes('bus="0x06"')) throw new Error(`not the device: ${xml}`);
  appendFileSync(file, `${where}\n`);
}
