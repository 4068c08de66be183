// Reports the progress of a managed save, and aborts it at its deadline or on cancellation.
import { messageOf, PublishError } from '../../core/errors.ts';
import { pollUntil } from '../../core/poll.ts';
import { withTimeLimit } from '../../core/time-limit.ts';
import type { JobInfo } from '../../libvirt/domain.ts';
import { isLibvirtError } from '../../libvirt/errors.ts';
import { VIR_DOMAIN_JOB_OPERATION_SAVE } from '../../libvirt/ffi/constants.ts';
import type { CaptureRun } from '../capture-run.ts';

/** Between two reports of the progress. */
const REPORT_MS = 500;

/** Uses the control connection, since the save blocks the other one. */
export class SaveWatch {
  readonly #run: CaptureRun;
  isLate = false;

  constructor(run: CaptureRun) {
    this.#run = run;
  }

  async around(saving: Promise<void>): Promise<void> {
    const { timeouts, signal } = this.#run;
    const over = new AbortController();
    await withTimeLimit({ ms: timeouts.managedSaveMs, signal }, async (stop) => {
      const onStop = () => {
        this.isLate = !signal.aborted;
        void this.#abort();
      };
      stop.addEventListener('abort', onStop, { once: true });
      const watching = this.#report(over.signal);
      try {
        await saving;
      } finally {
        stop.removeEventListener('abort', onStop);
        over.abort();
        await watching;
      }
    });
  }

  async #abort(): Promise<void> {
    try {
      const domain = await this.#controlDomain();
      // The save may still wait for a job of another client, a backup for example.
      const isSave = (await domain?.getJobOperation()) === VIR_DOMAIN_JOB_OPERATION_SAVE;
      if (isSave) await domain?.abortJob();
    } catch (error) {
      // Without a job the save has not started or has ended; its own result shows which.
      this.#note(`cannot abort the managed save: ${messageOf(error)}`);
    }
  }

  async #report(over: AbortSignal): Promise<void> {
    const { onEvent } = this.#run;
    const isOver = async () => over.aborted;
    while (!(await pollUntil(isOver, { timeoutMs: REPORT_MS, pollMs: 50 }))) {
      const job = await this.#readJob();
      if (!job || job.dataTotal === 0) continue;
      onEvent({ type: 'progress', step: 'save', bytes: job.dataProcessed, total: job.dataTotal });
    }
  }

  /** Returns undefined if the progress is unreadable, for example when the guest is off already. */
  async #readJob(): Promise<JobInfo | undefined> {
    try {
      return await (await this.#controlDomain())?.getJobInfo();
    } catch (error) {
      if (isLibvirtError(error) || error instanceof PublishError) return undefined;
      throw error;
    }
  }

  #controlDomain() {
    return this.#run.host.domainForControl(this.#run.inspection.uuid);
  }

  #note(message: string): void {
    this.#run.onEvent({ type: 'note', level: 'warning', step: 'save', message });
  }
}
