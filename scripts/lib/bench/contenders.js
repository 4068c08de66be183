// The measured programs (contenders), each with the command line that a user types.
import { existsSync } from 'node:fs';

const HERE = new URL('.', import.meta.url).pathname;
const MAIN = new URL('../../../dist/cli/main.js', import.meta.url).pathname;
const CONCURRENCY = '4';

const snapshot = (domain, registry, ...flags) => [
  process.execPath,
  MAIN,
  'snapshot',
  domain,
  '--registry',
  registry,
  '--json',
  ...flags,
];
const nova = (domain, target, ...flags) => [
  '/usr/bin/python3',
  `${HERE}nova-way.py`,
  domain,
  target,
  ...flags,
];
const convert = 'qemu-img convert -U -f qcow2 -O qcow2 "$BENCH_DISK" "$BENCH_SCRATCH/image.qcow2"';
const clean = 'rm "$BENCH_SCRATCH/image.qcow2"';
const aws = `/usr/bin/aws --endpoint-url "$S3_ENDPOINT" s3 cp --quiet`;
const rclone = `rclone copyto --s3-upload-concurrency ${CONCURRENCY}`;
const shell = (...lines) => ['sh', '-ec', lines.join('\n')];

export const NOVA = 'the Nova way';
export const OWN = 'virt-publish';
export const UPLOAD = 'virt-publish, upload alone';

export const LIVE_DIRECTORY = [
  { name: NOVA, argv: ({ domain, directory }) => nova(domain, directory) },
  { name: OWN, argv: ({ domain, directory }) => snapshot(domain, directory) },
  {
    name: 'virtnbdbackup',
    needs: '/usr/bin/virtnbdbackup',
    argv: ({ domain, directory }) => [
      'virtnbdbackup',
      '-d',
      domain,
      '-l',
      'copy',
      '-o',
      `${directory}/nbd`,
    ],
  },
];

export const LIVE_BUCKET = [
  { name: NOVA, argv: ({ domain, bucket }) => nova(domain, `s3://${bucket}/image`) },
  { name: OWN, argv: ({ domain, bucket }) => snapshot(domain, `s3://${bucket}/vp`) },
  {
    name: UPLOAD,
    argv: ({ bucket }) => [process.execPath, `${HERE}upload.js`, `s3://${bucket}/vp`],
  },
  {
    name: 'qemu-img convert, aws s3 cp',
    needs: '/usr/bin/aws',
    argv: ({ bucket }) =>
      shell(
        // aws has no flags for these settings
        'export AWS_CONFIG_FILE=$BENCH_SCRATCH/aws',
        `printf "[default]\\ns3 =\\n  max_concurrent_requests = ${CONCURRENCY}\\n  multipart_chunksize = 16MB\\n" >"$AWS_CONFIG_FILE"`,
        convert,
        `${aws} "$BENCH_SCRATCH/image.qcow2" s3://${bucket}/image`,
        clean,
      ),
  },
  {
    name: 'qemu-img convert, rclone copyto',
    needs: '/usr/bin/rclone',
    argv: ({ bucket }) =>
      shell(
        convert,
        `${rclone} --s3-chunk-size 16M "$BENCH_SCRATCH/image.qcow2" :s3:${bucket}/image`,
        clean,
      ),
  },
];

export const COMPRESSED = [
  { name: `${NOVA}, zlib`, argv: ({ domain, directory }) => nova(domain, directory, '--compress') },
  {
    name: `${OWN}, zstd`,
    argv: ({ domain, directory }) => snapshot(domain, directory, '--compress', 'zstd'),
  },
];

export const SMALL = [
  { name: NOVA, argv: ({ domain, directory }) => nova(domain, directory) },
  { name: OWN, argv: ({ domain, directory }) => snapshot(domain, directory) },
];

export const COLD = [
  { name: NOVA, argv: ({ domain, directory }) => nova(domain, directory, '--cold') },
  { name: OWN, argv: ({ domain, directory }) => snapshot(domain, directory, '--mode', 'cold') },
];

/** Returns the contenders that are installed on this machine, and those that are missing. */
export function splitByInstalled(contenders) {
  const isInstalled = ({ needs }) => needs === undefined || existsSync(needs);
  return {
    installed: contenders.filter(isInstalled),
    missing: contenders.filter((each) => !isInstalled(each)),
  };
}
