// Uploads the image file BENCH_IMAGE and does nothing else. Usage: upload.js s3://BUCKET/PREFIX
import { loadConfig } from '../../../build/config/config.js';
import { openRegistry } from '../../../build/registry/registry.js';
import { fileSource } from '../../../build/transfer/upload/file-source.js';

const [, , url] = process.argv;
const { s3, upload, timeouts } = await loadConfig();
const registry = await openRegistry(url, {
  s3,
  upload: { ...upload, partMs: timeouts.partMs },
  onEvent: (event) => process.stderr.write(`${JSON.stringify(event)}\n`),
});
const { id } = await registry.queueImage({ name: 'bench', disk_format: 'qcow2' });
await registry.updateImage(id, (record) => ({ ...record, status: 'saving' }));
await registry.uploadData(id, 'vda.qcow2', await fileSource(process.env.BENCH_IMAGE));
