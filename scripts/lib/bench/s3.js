// Starts an S3 server for the benchmark, a new one for each contender.
import { readFileSync } from 'node:fs';
import { CreateBucketCommand, S3Client } from '@aws-sdk/client-s3';
import { command } from './run.js';

const SERVER = new URL('../../s3-server.sh', import.meta.url).pathname;
export const BUCKET = 'bench';

/** Calls `work` with the environment for an empty bucket, and removes the server afterwards. */
export async function withEmptyBucket(folder, store, work) {
  const directory = `${folder}/s3`;
  await command(SERVER, 'stop', directory);
  await command(SERVER, 'start', directory, store);
  try {
    const env = readEnv(`${directory}/env`);
    const client = new S3Client({
      endpoint: env.S3_ENDPOINT,
      forcePathStyle: true,
      region: env.AWS_REGION,
      credentials: {
        accessKeyId: env.AWS_ACCESS_KEY_ID,
        secretAccessKey: env.AWS_SECRET_ACCESS_KEY,
      },
    });
    await client.send(new CreateBucketCommand({ Bucket: BUCKET }));
    client.destroy();
    return await work({ ...env, ...clientsOf(env) });
  } finally {
    await command(SERVER, 'stop', directory);
  }
}

/** Returns the environment variables of each client. */
function clientsOf({ S3_ENDPOINT }) {
  return {
    VIRT_PUBLISH_S3_ENDPOINT: S3_ENDPOINT,
    VIRT_PUBLISH_S3_PATH_STYLE: 'true',
    RCLONE_CONFIG: '/dev/null',
    RCLONE_S3_PROVIDER: 'Ceph',
    RCLONE_S3_ENV_AUTH: 'true',
    RCLONE_S3_ENDPOINT: S3_ENDPOINT,
    AWS_EC2_METADATA_DISABLED: 'true',
    // rclone 1.60 (Debian 12) fails if it is set
    AWS_CA_BUNDLE: undefined,
  };
}

function readEnv(path) {
  const lines = readFileSync(path, 'utf8').matchAll(/^export ([A-Z0-9_]+)=(.*)$/gm);
  return Object.fromEntries([...lines].map(([, name, value]) => [name, value]));
}
