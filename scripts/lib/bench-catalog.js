// Fills a bucket with images by direct PUTs, then times `virt-publish list`, as a process.
import { spawnSync } from 'node:child_process';
import { randomUUID } from 'node:crypto';
import { cpus, loadavg } from 'node:os';
import { CreateBucketCommand, PutObjectCommand, S3Client } from '@aws-sdk/client-s3';

const { WORK = '', IMAGES = '', S3_ENDPOINT = '' } = process.env;
const count = Number(IMAGES);
const client = new S3Client({
  endpoint: S3_ENDPOINT,
  forcePathStyle: true,
  requestChecksumCalculation: 'WHEN_REQUIRED',
});
const main = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const now = Date.now();

await client.send(new CreateBucketCommand({ Bucket: 'bench' }));
const filling = performance.now();
await fill();
const filled = performance.now() - filling;
const load = loadavg()[0].toFixed(1);
const rows = [
  ['list, no checkpoint', list()],
  ['list, with a checkpoint', list()],
  ['list, with a checkpoint', list()],
  ['list --format csv', list('--format', 'csv')],
  ['list --tag --sort --limit 50', list('--tag', 't1', '--sort', 'name', '--limit', '50')],
  ['list of one image more', await oneMore()],
];
say(`${count} images, ${count * 5} keys (put in ${(filled / 1000).toFixed(0)} s); `);
say(`${cpus().length} cores, load ${load} before the first list\n`);
say(`${'what'.padEnd(32)}${'wall'.padStart(9)}${'cpu'.padStart(9)}${'memory'.padStart(10)}  lines`);
for (const [what, { wallMs, cpuMs, peakMib, lines }] of rows) {
  const cells = [`${(wallMs / 1000).toFixed(2)} s`, `${(cpuMs / 1000).toFixed(2)} s`];
  const [wall, cpu] = cells.map((cell) => cell.padStart(9));
  say(`${what.padEnd(32)}${wall}${cpu}${`${peakMib} MiB`.padStart(10)}  ${lines}`);
}

async function fill() {
  let left = count;
  const lane = async () => {
    while (left > 0) {
      left -= 1;
      await putImage(left);
    }
  };
  await Promise.all(Array.from({ length: 32 }, lane));
}

async function oneMore() {
  await putImage(count);
  return list();
}

async function putImage(number) {
  const id = randomUUID();
  const put = (name, Body) =>
    client.send(new PutObjectCommand({ Bucket: 'bench', Key: `images/${id}/${name}`, Body }));
  for (const version of [1, 2, 3])
    await put(`record/0000000${version}.json`, record(id, version, number));
  await put('vda.qcow2', '0123456789');
  await put('domain.xml', '0123456789');
}

function record(id, version, number) {
  const time = new Date(now - number * 60_000).toISOString();
  const object = (name) => ({ name, size: 10, sha256: 'a'.repeat(64) });
  const isActive = version === 3;
  return JSON.stringify({
    ...{
      id,
      version,
      name: `image-${number}`,
      status: ['queued', 'saving', 'active'][version - 1],
    },
    ...{
      visibility: 'private',
      protected: false,
      os_hidden: false,
      tags: [`t${number % 7}`],
      owner: null,
    },
    ...{ disk_format: 'qcow2', container_format: 'bare', size: isActive ? 10 : null },
    ...{ virtual_size: 10_737_418_240, min_disk: 10, min_ram: 0, checksum: null },
    ...{
      os_hash_algo: 'sha256',
      os_hash_value: 'a'.repeat(64),
      created_at: time,
      updated_at: time,
    },
    ...{
      data: isActive ? object('vda.qcow2') : null,
      artefacts: isActive ? [object('domain.xml')] : [],
    },
    status_reason: null,
    properties: {
      ...{ image_type: 'snapshot', instance_uuid: randomUUID(), architecture: 'x86_64' },
      ...{ hw_machine_type: 'pc-q35-8.2', hw_disk_bus: 'virtio', snapshot_mode: 'live' },
    },
    write_id: randomUUID(),
  });
}

/** Runs `list` once; returns its wall time, processor time and peak memory, as the kernel counts them. */
function list(...args) {
  const env = {
    ...process.env,
    ...{ HOME: WORK, XDG_STATE_HOME: `${WORK}/state`, VIRT_PUBLISH_STATE_DIR: `${WORK}/state` },
    ...{ VIRT_PUBLISH_REGISTRY: 's3://bench', VIRT_PUBLISH_S3_ENDPOINT: S3_ENDPOINT },
  };
  const probe = new URL('./peak-usage.js', import.meta.url).pathname;
  const began = performance.now();
  const { status, stdout, stderr } = spawnSync(
    process.execPath,
    ['--import', probe, main, 'list', ...args],
    { env, encoding: 'utf8', maxBuffer: 1 << 28 },
  );
  const wallMs = performance.now() - began;
  if (status !== 0) throw new Error(`list ended with ${status}: ${stderr}`);
  const [, usage = '{}'] = /^peak-usage (.*)$/m.exec(stderr) ?? [];
  return { wallMs, lines: stdout.trimEnd().split('\n').length, ...JSON.parse(usage) };
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
