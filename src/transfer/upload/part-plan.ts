// Divides an image of any size into parts. Pure.
import { PublishError } from '../../core/errors.ts';
import { formatBytes } from '../../core/format-bytes.ts';
import type { StoreLimits } from '../../store/object-store.ts';

const MIB = 1024 * 1024;

/** Bytes `start` (included) to `end` (not included); parts count from 1. */
export interface PlannedPart {
  number: number;
  start: number;
  end: number;
}

export interface PartPlan {
  size: number;
  /** Size of every part except the last; whole MiB, so that reads stay aligned. */
  partSize: number;
  count: number;
}

/**
 * Cuts `size` bytes into parts of `wantedPartSize`, or as much larger as the store's number of
 * parts requires. An empty image is one empty part, so that every size is handled alike.
 * @throws UPLOAD if the store cannot hold so much.
 */
export function planParts(size: number, wantedPartSize: number, limits: StoreLimits): PartPlan {
  const needed = Math.ceil(size / limits.maxParts);
  const partSize = wholeMib(Math.max(wantedPartSize, needed, limits.minPartBytes));
  if (size > limits.maxObjectBytes || partSize > limits.maxPartBytes) {
    const most = Math.min(limits.maxObjectBytes, limits.maxPartBytes * limits.maxParts);
    const message =
      `the image has ${formatBytes(size)}, ` +
      `more than the ${formatBytes(most)} that one object of the registry can have`;
    throw new PublishError('UPLOAD', message, { step: 'upload' });
  }
  return { size, partSize, count: Math.max(1, Math.ceil(size / partSize)) };
}

/** Part `number` of the plan. */
export function partAt({ size, partSize }: PartPlan, number: number): PlannedPart {
  const start = (number - 1) * partSize;
  return { number, start, end: Math.min(start + partSize, size) };
}

/** The parts in order, made one by one. */
export function* partsOf(plan: PartPlan): Generator<PlannedPart> {
  for (let number = 1; number <= plan.count; number += 1) yield partAt(plan, number);
}

function wholeMib(bytes: number): number {
  return Math.ceil(bytes / MIB) * MIB;
}
