// Loaded by `NODE_OPTIONS=--import`: from the entry of FAIL_JOURNAL="done:mirror=EIO" on, writes to the journal
// fail.
import { open } from 'node:fs/promises';

const [, point, code] = /^(.+)=([A-Z]+)$/.exec(process.env.FAIL_JOURNAL ?? '') ?? [];
if (point !== undefined) {
  const handle = await open('/dev/null');
  const prototype = Object.getPrototypeOf(handle);
  await handle.close();
  const { appendFile } = prototype;
  let isBroken = false;
  prototype.appendFile = async function failing(text, ...rest) {
    const name = nameOf(text);
    isBroken ||= name === point;
    if (name === undefined || !isBroken) return appendFile.call(this, text, ...rest);
    throw Object.assign(new Error(`${code}: injected, write`), { code });
  };
}

/** Returns the test hook's name of an entry; undefined for other text. */
function nameOf(text) {
  if (!/^\s*\{"time":.*"type":"(run|intent|done|undone|point)"/.test(String(text)))
    return undefined;
  const { type, act, name } = JSON.parse(text);
  return `${type}:${act ?? name ?? 'started'}`;
}
