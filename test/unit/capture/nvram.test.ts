// The UEFI variables are read while the guest is held, so the read has a deadline.
import { execFileSync } from 'node:child_process';
import { closeSync, mkdtempSync, openSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { expect, it } from 'vitest';
import { NvramCopy } from '#built/capture/nvram.js';

it('a read of the UEFI variables that hangs ends at its deadline', async () => {
  const folder = mkdtempSync(join(tmpdir(), 'nvram-'));
  const path = join(folder, 'fifo');
  // An open for reading waits for a writer, as one on a file server that is gone waits for it.
  execFileSync('mkfifo', [path]);
  try {
    const { signal } = new AbortController();
    const taking = new NvramCopy(path).take({ timeoutMs: 50, signal });
    await expect(taking).rejects.toMatchObject({ code: 'QUIESCE', retryable: true });
  } finally {
    closeSync(openSync(path, 'r+'));
    rmSync(folder, { recursive: true });
  }
});
