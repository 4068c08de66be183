// Checks that there is room for what an import writes.
import { stat } from 'node:fs/promises';
import {
  assertEnoughSpace,
  measureSpace,
  onSameFileSystem,
  type SpaceNeed,
} from '../../domain/space.ts';
import type { Inspected } from '../../formats/inspect-image.ts';
import { measure, qemuFormat } from '../../qemu/qemu-img.ts';
import type { Registry } from '../../registry/registry.ts';
import type { BroughtFile } from './bring-file.ts';
import type { ImportSettings } from './import-settings.ts';

/** @throws NO_SPACE */
export async function checkSpace(
  settings: ImportSettings,
  { directory }: Pick<Registry, 'directory'>,
  { brought, inspected }: { brought: BroughtFile; inspected: Inspected },
): Promise<void> {
  const { convert, workDir, config, signal } = settings;
  const target = convert === inspected.format ? undefined : convert;
  const source = { path: brought.path, format: qemuFormat(inspected.format), backingChain: [] };
  const limits = { signal, timeoutMs: config.timeouts.requestMs };
  const needed = target
    ? (await measure({ source, targetFormat: target, ...limits })).required
    : await dataBytes(brought.path);
  const needs: SpaceNeed[] = target
    ? [{ directory: workDir, purpose: 'the converted image', needed }]
    : [];
  const isMoved =
    (brought.isScratch || target !== undefined) &&
    (await onSameFileSystem(directory ?? '/', workDir));
  if (directory !== null && !isMoved) {
    needs.push({ directory, purpose: 'the published image', needed });
  }
  assertEnoughSpace(await measureSpace(needs, config.reserve));
}

/** The holes of a file are holes in a directory registry too. */
async function dataBytes(path: string): Promise<number> {
  const { size, blocks } = await stat(path);
  return Math.min(size, blocks * 512);
}
