import { ITransport, json, Query, segment } from './transport';
import { IExecution, IExplanation, IHistoryItem, IJob, IPage, ISpecConfig } from './types';

const JOBS = 'api/v1/orchestrator/jobs';

/** Jobs: list, look at, submit, stop, run again. */
export class JobsApi {
  constructor(private readonly transport: ITransport) {}

  /** A page of jobs, newest first. An empty token marks the last page; `labels` is a selector: `group=a`. */
  async list(
    options: { limit?: number; token?: string; labels?: string; signal?: AbortSignal } = {}
  ): Promise<IPage<IJob>> {
    const query: Query = options.token
      ? { next_token: options.token }
      : {
          limit: options.limit ?? 200,
          order_by: 'created_at',
          reverse: true,
          ...(options.labels ? { labels: options.labels } : {})
        };
    return json(this.transport, 'GET', JOBS, { query, signal: options.signal });
  }

  async get(id: string, signal?: AbortSignal): Promise<IJob> {
    const answer = await json<{ Job: IJob }>(this.transport, 'GET', `${JOBS}/${segment(id)}`, { signal });
    return answer.Job;
  }

  /** The executions of a version (0: of the newest). */
  async executions(id: string, signal?: AbortSignal, version = 0): Promise<IExecution[]> {
    const answer = await json<IPage<IExecution>>(this.transport, 'GET', `${JOBS}/${segment(id)}/executions`, {
      query: ofVersion(version),
      signal
    });
    return answer.Items ?? [];
  }

  /** All events of a version (0: of the newest), oldest first. */
  async history(id: string, signal?: AbortSignal, version = 0): Promise<IHistoryItem[]> {
    const answer = await json<IPage<IHistoryItem>>(this.transport, 'GET', `${JOBS}/${segment(id)}/history`, {
      query: { limit: 1000, ...ofVersion(version) },
      signal
    });
    return answer.Items ?? [];
  }

  /** Why the job waits, or how it came to run where it did (feature `explain`). */
  async explain(id: string, signal?: AbortSignal): Promise<IExplanation> {
    return json(this.transport, 'GET', `${JOBS}/${segment(id)}/explanation`, { signal });
  }

  /** Where the results of a version (0: of the newest) were published: one reference per execution. */
  async results(id: string, signal?: AbortSignal, version = 0): Promise<ISpecConfig[]> {
    const answer = await json<IPage<ISpecConfig>>(this.transport, 'GET', `${JOBS}/${segment(id)}/results`, {
      query: ofVersion(version),
      signal
    });
    return answer.Items ?? [];
  }

  async submit(job: Partial<IJob>): Promise<{ JobID: string; Warnings?: string[] | null }> {
    return json(this.transport, 'PUT', JOBS, { body: { Job: job } });
  }

  async stop(id: string, reason = ''): Promise<void> {
    await json(this.transport, 'DELETE', `${JOBS}/${segment(id)}`, { body: { reason } });
  }

  /** Delete a job that is over, with what the node keeps of it (feature `delete-jobs`). */
  async remove(id: string): Promise<void> {
    await json(this.transport, 'DELETE', `${JOBS}/${segment(id)}/record`);
  }

  /** Every version of a job, oldest first, each as it was left. */
  async versions(id: string, signal?: AbortSignal): Promise<IJob[]> {
    const path = `${JOBS}/${segment(id)}/versions`;
    return (await json<IPage<IJob>>(this.transport, 'GET', path, { signal })).Items ?? [];
  }
}

function ofVersion(version: number): Query {
  return version > 0 ? { job_version: version } : {};
}
