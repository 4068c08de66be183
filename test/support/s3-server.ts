// A private S3 server for tests that break it: started, killed and stopped at will.
import { join } from 'node:path';
import { cleanUp, cleanUpLater } from './cleanup.ts';
import { must } from './exec.ts';
import { makeFolder } from './folders.ts';
import { readEnvFile, type S3Access, s3AccessOf } from './lab.ts';

const SCRIPT = new URL('../../scripts/s3-server.sh', import.meta.url).pathname;

export interface S3Server {
  access: S3Access;
  /** SIGKILL to the gateway; what is stored stays. */
  killGateway(): Promise<void>;
  startGateway(): Promise<void>;
  stop(): Promise<void>;
}

/** Starts a server on free ports; it goes with its test file. */
export async function startS3Server(store = 'memstore'): Promise<S3Server> {
  const dir = join(await makeFolder('vp-test-s3'), 'server');
  const control = async (...args: string[]): Promise<void> => {
    await must(SCRIPT, args, { timeoutMs: 120_000 });
  };
  const owner = {};
  cleanUpLater(owner, () => control('stop', dir));
  await control('start', dir, store);
  return {
    access: s3AccessOf(readEnvFile(join(dir, 'env'))),
    killGateway: () => control('kill-gateway', dir),
    startGateway: () => control('start-gateway', dir),
    stop: () => cleanUp(owner),
  };
}
