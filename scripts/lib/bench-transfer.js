// Times the transfers of virt-publish, rclone and aws in turn, each as a process, as a user runs it.
import { spawnSync } from 'node:child_process';
import { randomFillSync } from 'node:crypto';
import { closeSync, mkdirSync, openSync, rmSync, writeFileSync, writeSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';

const { WORK = '', S3_ENDPOINT = '' } = process.env;
const [sizeMib, rounds, concurrency] = ['SIZE_MIB', 'ROUNDS', 'CONCURRENCY'].map((name) =>
  Number(process.env[name]),
);
const BUCKET = 'bench';
const PART_MIB = 16;
const image = join(WORK, 'image.raw');
const fetched = join(WORK, 'fetched');
// NOTE: rclone 1.60 (Debian 12) fails if AWS_CA_BUNDLE is set, and the server has plain http.
const { AWS_CA_BUNDLE: _bundle, ...inherited } = process.env;
const env = { ...inherited, HOME: WORK, ...ourEnv(), ...rcloneEnv(), ...awsEnv() };

await new S3Client({ endpoint: S3_ENDPOINT, forcePathStyle: true }).send(
  new CreateBucketCommand({ Bucket: BUCKET }),
);
makeImage();
const cli = new URL('../../dist/cli/main.js', import.meta.url).pathname;
const own = (...args) => run(process.execPath, [cli, '--quiet', ...args]);
const rclone = (...args) => run('rclone', ['copyto', ...args]);
const aws = (...args) =>
  run('aws', ['s3', 'cp', '--only-show-errors', '--endpoint-url', S3_ENDPOINT, ...args]);
const load = loadavg()[0].toFixed(1);
const seconds = { upload: [], pull: [] };
for (let round = 1; round <= rounds; round += 1) {
  const key = `peers/${round}.raw`;
  const sent = {
    own: own('import', image, '--name', `image-${round}`, '--format', 'raw'),
    rclone: rclone(image, `lab:${BUCKET}/${key}`),
    aws: aws(image, `s3://${BUCKET}/${key}.aws`),
  };
  const got = {
    own: fetching(() => own('pull', `image-${round}`, fetched)),
    rclone: fetching(() => rclone(`lab:${BUCKET}/${key}`, fetched)),
    aws: fetching(() => aws(`s3://${BUCKET}/${key}`, fetched)),
  };
  seconds.upload.push(sent);
  seconds.pull.push(got);
}
say(`${sizeMib} MiB of random bytes, ${concurrency} at once, ${rounds} rounds; `);
say(`${cpus().length} cores, load ${load} before the first\n`);
const head = ['own', 'rclone', 'aws'].map((name) => name.padStart(10)).join('');
say(`${'median MiB/s'.padEnd(14)}${head}${'/ rclone'.padStart(11)}${'/ aws'.padStart(8)}`);
for (const [what, rows] of Object.entries(seconds)) {
  const rates = ['own', 'rclone', 'aws'].map((name) => sizeMib / median(rows, name));
  const [mine = 0, ...others] = rates;
  const cells = rates.map((rate) => rate.toFixed(0).padStart(10)).join('');
  const [first = '', second = ''] = others.map((rate) => (mine / rate).toFixed(2));
  say(`${what.padEnd(14)}${cells}${first.padStart(11)}${second.padStart(8)}`);
}
for (const [what, rows] of Object.entries(seconds)) {
  const all = ['own', 'rclone', 'aws'].map(
    (name) => `${name} ${rows.map((row) => row[name].toFixed(2)).join(' ')}`,
  );
  say(`${what} in s: ${all.join('; ')}`);
}

function ourEnv() {
  return {
    ...{ XDG_STATE_HOME: join(WORK, 'state'), VIRT_PUBLISH_STATE_DIR: join(WORK, 'state') },
    ...{ VIRT_PUBLISH_REGISTRY: `s3://${BUCKET}/own`, VIRT_PUBLISH_S3_ENDPOINT: S3_ENDPOINT },
    VIRT_PUBLISH_UPLOAD_CONCURRENCY: String(concurrency),
    VIRT_PUBLISH_UPLOAD_PART_SIZE_MIB: String(PART_MIB),
  };
}

function rcloneEnv() {
  return {
    ...{ RCLONE_CONFIG: '/dev/null', RCLONE_CONFIG_LAB_TYPE: 's3' },
    ...{ RCLONE_CONFIG_LAB_PROVIDER: 'Ceph', RCLONE_CONFIG_LAB_ENDPOINT: S3_ENDPOINT },
    ...{ RCLONE_CONFIG_LAB_ENV_AUTH: 'true', RCLONE_S3_NO_CHECK_BUCKET: 'true' },
    RCLONE_S3_UPLOAD_CONCURRENCY: String(concurrency),
    RCLONE_S3_CHUNK_SIZE: `${PART_MIB}Mi`,
    RCLONE_MULTI_THREAD_STREAMS: String(concurrency),
    RCLONE_MULTI_THREAD_CUTOFF: '1Mi',
  };
}

function awsEnv() {
  const file = join(WORK, 'aws-config');
  const lines = [
    `max_concurrent_requests = ${concurrency}`,
    `multipart_threshold = ${PART_MIB}MB`,
    `multipart_chunksize = ${PART_MIB}MB`,
  ];
  const s3 = lines.map((line) => `  ${line}\n`).join('');
  writeFileSync(file, `[default]\nregion = us-east-1\ns3 =\n${s3}`);
  return { AWS_CONFIG_FILE: file };
}

/** Writes random bytes, as an image without holes that cannot be compressed. */
function makeImage() {
  mkdirSync(WORK, { recursive: true });
  const file = openSync(image, 'wx');
  const block = Buffer.alloc(1024 * 1024);
  for (let at = 0; at < sizeMib; at += 1) writeSync(file, randomFillSync(block));
  closeSync(file);
}

/** Runs a command and returns its time in seconds. Earlier writes are flushed before it starts. */
function run(command, args) {
  spawnSync('sync');
  const began = performance.now();
  const { status, stderr, error } = spawnSync(command, args, { env, encoding: 'utf8' });
  const took = (performance.now() - began) / 1000;
  if (status === 0) return took;
  throw new Error(`${command} ${args.join(' ')} ended with ${status}: ${stderr || error}`);
}

function fetching(pull) {
  const took = pull();
  const same = spawnSync('cmp', [image, fetched]);
  if (same.status !== 0) throw new Error(`${fetched} is not ${image}`);
  rmSync(fetched);
  return took;
}

function median(rows, name) {
  const sorted = rows.map((row) => row[name]).sort((a, b) => a - b);
  const middle = Math.floor(sorted.length / 2);
  const [low = 0, high = 0] = [sorted[sorted.length % 2 ? middle : middle - 1], sorted[middle]];
  return (low + high) / 2;
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
