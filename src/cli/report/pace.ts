// Computes the rate and the remaining time of a step from its last seconds.
import { formatBytes, formatDuration } from '../views/format.ts';

const WINDOW_MS = 5_000;
const SAMPLE_MS = 100;
const SETTLE_MS = 1_500;

interface Sample {
  at: number;
  bytes: number;
}

/** Bytes of one step over time. `at` is in milliseconds of any steady clock. */
export class StepPace {
  bytes = 0;
  total = 0;
  private readonly startedAt: number;
  private samples: Sample[] = [];

  constructor(startedAt: number) {
    this.startedAt = startedAt;
  }

  add(at: number, bytes: number, total: number): void {
    this.bytes = bytes;
    this.total = total;
    if (at - (this.samples.at(-1)?.at ?? -Infinity) < SAMPLE_MS) return;
    this.samples.push({ at, bytes });
    while (this.samples.length > 2 && at - (this.samples[0]?.at ?? at) > WINDOW_MS)
      this.samples.shift();
  }

  /** 0 to 1; 0 if the total is unknown. */
  get fraction(): number {
    return this.total > 0 ? Math.min(1, this.bytes / this.total) : 0;
  }

  /** Bytes a second over the last seconds; undefined before there is anything to go by. */
  rate(now: number): number | undefined {
    const first = this.samples[0];
    if (first === undefined || now - this.startedAt < SETTLE_MS) return undefined;
    const bytesPerSecond = ((this.bytes - first.bytes) / Math.max(1, now - first.at)) * 1000;
    return bytesPerSecond > 0 ? bytesPerSecond : undefined;
  }

  /** `3.2 GiB of 6.0 GiB, 410 MiB/s, 7 s left`. */
  describe(now: number): string {
    const size = this.total > 0 ? ` of ${formatBytes(this.total)}` : '';
    const rate = this.rate(now);
    const parts = [`${formatBytes(this.bytes)}${size}`];
    if (rate !== undefined) parts.push(`${formatBytes(rate)}/s`);
    if (rate !== undefined && this.total > this.bytes)
      parts.push(`${timeLeft((this.total - this.bytes) / rate)} left`);
    return parts.join(', ');
  }

  /** Returns the summary of a finished step: `6.0 GiB, 410 MiB/s`, over its whole time. */
  summary(ms: number): string {
    if (this.bytes === 0) return '';
    const rate = ms >= 100 ? `, ${formatBytes((this.bytes / ms) * 1000)}/s` : '';
    return `${formatBytes(this.bytes)}${rate}`;
  }
}

// NOTE: an estimate in tenths of a second would only flicker.
function timeLeft(seconds: number): string {
  return seconds < 59 ? `${Math.max(1, Math.ceil(seconds))} s` : formatDuration(seconds * 1000);
}
