// Runs the benchmark: every contender of a group in turn, in several rounds, on one domain and one S3 server.
import { existsSync, mkdirSync, readdirSync, rmSync, statSync, writeFileSync } from 'node:fs';
import { cpus, loadavg } from 'node:os';
import { join } from 'node:path';
import { parseArgs } from 'node:util';
import {
  COLD,
  COMPRESSED,
  LIVE_BUCKET,
  LIVE_DIRECTORY,
  NOVA,
  OWN,
  SMALL,
  splitByInstalled,
  UPLOAD,
} from './contenders.js';
import { dropPageCache, layersOf, makeChain } from './disks.js';
import { assertUnchanged, qemuPid, removeDomain, startDomain } from './domain.js';
import { withReflinks } from './reflink.js';
import { command, measure } from './run.js';
import { BUCKET, withEmptyBucket } from './s3.js';
import { goals, plot, summarize, table } from './table.js';

const { values: flags } = parseArgs({
  options: {
    quick: { type: 'boolean', default: false },
    data: { type: 'string' },
    rounds: { type: 'string' },
    only: { type: 'string' },
    plot: { type: 'string', default: 'bench-plot.svg' },
    store: { type: 'string', default: 'memstore' },
    keep: { type: 'boolean', default: false },
  },
});
const dataMib = Number(flags.data ?? (flags.quick ? 640 : 6144));
const rounds = Number(flags.rounds ?? (flags.quick ? 1 : 3));
const only = flags.only?.split(',');
const folder = join(process.env.VIRT_PUBLISH_LAB, 'bench');
const directory = join(folder, 'registry');
const scratch = join(folder, 'scratch');
const DOMAIN = 'vp-bench-big';
const SMALL_DOMAIN = 'vp-bench-small';
const GOALS = [];
const shown = [];

mkdirSync(folder, { recursive: true, mode: 0o711 });
try {
  await main();
} finally {
  await removeDomain(DOMAIN);
  await removeDomain(SMALL_DOMAIN);
  for (const each of ['registry', 'scratch', 'state', 'image.qcow2']) remove(join(folder, each));
  if (!flags.keep) remove(folder);
}

async function main() {
  say(
    `${dataMib} MiB of data, ${rounds} rounds, ${cpus().length} cores, load ${loadavg()[0].toFixed(1)}`,
  );
  // Leftovers of a benchmark that was killed.
  for (const name of [DOMAIN, SMALL_DOMAIN]) await removeDomain(name);
  const disk = await makeChain(folder, 'big', dataMib);
  await startDomain(DOMAIN, disk, folder);
  const big = { domain: DOMAIN, disk };
  await ifSelected('live-dir', () => liveDirectory(big));
  await ifSelected('live-s3', () => liveBucket(big));
  await ifSelected('compressed', () => compressed(big));
  await ifSelected('cold', () => cold(big));
  await ifSelected('memory', () => memory(big));
  await ifSelected('small', small);
  say(`\nGoals: ratios to the Nova way if no unit is given\n${goals(GOALS)}`);
  writeFileSync(flags.plot, plot(shown));
  say(`\nplot: ${flags.plot}`);
}

async function ifSelected(group, work) {
  if (only === undefined || only.includes(group)) await work();
}

async function liveDirectory(guest) {
  const by = await contest('live, into a directory', LIVE_DIRECTORY, (each) =>
    intoDirectory(each, guest),
  );
  goal('live into a directory', by[OWN].ms / by[NOVA].ms, 0.25);
  goal('guest freeze', by[OWN].freezeMs, 100, ' ms');
}

async function liveBucket(guest) {
  await prepareImage(guest.disk);
  const by = await contest('live, into S3', LIVE_BUCKET, (each) => intoBucket(each, guest));
  goal('live into S3', by[OWN].ms / by[NOVA].ms, 0.6);
  goal('live into S3, to the upload alone', by[OWN].ms / by[UPLOAD].ms, 1.2);
  goal('memory', by[OWN].memory / 2 ** 20, 256, ' MiB');
}

async function compressed(guest) {
  const by = await contest('live, compressed, into a directory', COMPRESSED, (each) =>
    intoDirectory(each, guest),
  );
  const [zlib, zstd] = Object.values(by);
  goal('compressed', zstd.ms / zlib.ms, 0.12);
  goal('compressed, size', zstd.imageBytes / zlib.imageBytes, 1);
}

async function cold(guest) {
  const plain = await contest('cold, into a directory', COLD, (each) => intoDirectory(each, guest));
  // Without reflinks the guest waits for a convert at full speed.
  goal('cold: time the guest is down', plain[OWN].downMs / plain[NOVA].downMs, 1);
  await withReflinks(folder, async (place) => {
    const disk = await makeChain(place, 'cold', dataMib);
    await startDomain(DOMAIN, disk, folder);
    const places = { directory: join(place, 'registry'), scratch: join(place, 'scratch') };
    const by = await contest('cold, on a file system with reflinks', COLD, (each) =>
      intoDirectory(each, { ...guest, disk, ...places }),
    );
    goal('cold, reflinks: time the guest is down', by[OWN].downMs / by[NOVA].downMs, 0.6);
    await startDomain(DOMAIN, guest.disk, folder);
  });
}

async function memory(guest) {
  const own = LIVE_BUCKET.filter(({ name }) => name === OWN);
  const large = await contest(`memory, ${dataMib} MiB`, own, (each) => intoBucket(each, guest));
  const disk = await makeChain(folder, 'tenth', Math.floor(dataMib / 10));
  await startDomain(DOMAIN, disk, folder);
  const tenth = await contest('memory, a tenth of the data', own, (each) =>
    intoBucket(each, { ...guest, disk }),
  );
  goal('memory, 10 times the size', large[OWN].memory / tenth[OWN].memory, 1.1);
  await startDomain(DOMAIN, guest.disk, folder);
}

async function small() {
  const disk = await makeChain(folder, 'small', 10);
  await startDomain(SMALL_DOMAIN, disk, folder);
  const by = await contest('a small domain, into a directory', SMALL, (each) =>
    intoDirectory(each, { domain: SMALL_DOMAIN, disk }),
  );
  goal('a small domain', by[OWN].ms / 1000, 1, ' s');
}

/** Runs every contender in turn, round by round; resolves to the medians by name. */
async function contest(title, contenders, runOne) {
  const { installed, missing } = splitByInstalled(contenders);
  const results = new Map(installed.map(({ name }) => [name, []]));
  for (let round = 1; round <= rounds; round += 1) {
    for (const contender of installed) {
      say(`  ${title}: ${contender.name}, round ${round} of ${rounds}`);
      results.get(contender.name).push(await runOne(contender));
    }
  }
  const rows = [...results].map(([name, each]) => ({ name, summary: summarize(each) }));
  say(table(title, rows));
  for (const { name, needs } of missing) say(`${name}: not measured, ${needs} is not installed`);
  shown.push({ title, rows });
  return Object.fromEntries(rows.map(({ name, summary }) => [name, summary]));
}

async function intoDirectory(contender, guest) {
  const places = { directory, scratch, ...guest };
  const result = await measured(contender, places, {});
  result.imageBytes = largest(places.directory);
  remove(places.directory);
  return result;
}

function intoBucket(contender, guest) {
  return withEmptyBucket(folder, flags.store, (env) =>
    measured(contender, { directory, scratch, bucket: BUCKET, ...guest }, env),
  );
}

async function measured(contender, places, s3) {
  for (const path of [places.directory, places.scratch]) {
    remove(path);
    mkdirSync(path, { recursive: true, mode: 0o711 });
  }
  const image = join(folder, 'image.qcow2');
  await dropPageCache([...(await layersOf(places.disk)), image]);
  const env = {
    ...s3,
    BENCH_SCRATCH: places.scratch,
    BENCH_DISK: places.disk,
    BENCH_IMAGE: image,
    VIRT_PUBLISH_STATE_DIR: join(folder, 'state'),
    VIRT_PUBLISH_WORK_DIR: places.scratch,
  };
  const others = [qemuPid(places.domain)];
  const result = await measure(contender.argv(places), { env, scratch: places.scratch, others });
  await assertUnchanged(places.domain);
  remove(places.scratch);
  return { ...result, ...guestTimes(result) };
}

/** How long the guest's file systems were frozen, and how long it was down. */
function guestTimes({ steps, details }) {
  const freeze = /frozen for (\d+) ms/.exec(details.quiesce ?? '')?.[1] ?? steps.quiesce;
  const down = steps.down ?? (steps.save && downOf(steps));
  return {
    ...(freeze === undefined ? {} : { freezeMs: Number(freeze) }),
    ...(down === undefined ? {} : { downMs: down }),
  };
}

/** The time from the begin of the save to the end of the start, in ms. */
function downOf({ save, start, clone = 0, convert = 0 }) {
  return save + start + (clone > 0 ? clone : convert);
}

async function prepareImage(disk) {
  const image = join(folder, 'image.qcow2');
  if (existsSync(image)) return;
  await command('qemu-img', 'convert', '-U', '-f', 'qcow2', '-O', 'qcow2', disk, image);
}

function largest(path) {
  const files = readdirSync(path, { recursive: true, withFileTypes: true }).filter((each) =>
    each.isFile(),
  );
  return Math.max(0, ...files.map((file) => statSync(join(file.parentPath, file.name)).size));
}

function goal(what, value, most, unit) {
  GOALS.push({ what, value, goal: most, unit });
}

function remove(path) {
  rmSync(path, { recursive: true, force: true });
}

function say(line) {
  process.stdout.write(`${line}\n`);
}
