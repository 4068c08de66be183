// Loaded by `NODE_OPTIONS=--import`: writes the URL of each file that Node loads into the file LOADED_FILES.
import { appendFileSync } from 'node:fs';
import { register } from 'node:module';
import { isMainThread } from 'node:worker_threads';

// Node runs the hook below in a thread of its own, for which it loads this file again.
if (isMainThread) register(import.meta.url);

export async function load(url, context, next) {
  if (url.startsWith('file:')) appendFileSync(process.env.LOADED_FILES ?? '', `${url}\n`);
  return next(url, context);
}
