import { ITransport, json, Query, segment } from './transport';
import { IExecution, IHistoryItem, IJob, IPage, ISpecConfig } from './types';

const JOBS = 'api/v1/orchestrator/jobs';

/** Jobs: list, look at, submit, stop, run again. */
export class JobsApi {
  constructor(private readonly transport: ITransport) {}

  /** A page of jobs, newest first. An empty token marks the last page. */
  async list(options: { limit?: number; token?: string; signal?: AbortSignal } = {}): Promise<IPage<IJob>> {
    const query: Query = options.token
      ? { next_token: options.token }
      : { limit: options.limit ?? 200, order_by: 'created_at', reverse: true };
    return json(this.transport, 'GET', JOBS, { query, signal: options.signal });
  }

  async get(id: string, signal?: AbortSignal): Promise<IJob> {
    const answer = await json<{ Job: IJob }>(this.transport, 'GET', `${JOBS}/${segment(id)}`, { signal });
    return answer.Job;
  }

  async executions(id: string, signal?: AbortSignal): Promise<IExecution[]> {
    const answer = await json<IPage<IExecution>>(this.transport, 'GET', `${JOBS}/${segment(id)}/executions`, {
      signal
    });
    return answer.Items ?? [];
  }

  /** All events of a job, oldest first. */
  async history(id: string, signal?: AbortSignal): Promise<IHistoryItem[]> {
    const answer = await json<IPage<IHistoryItem>>(this.transport, 'GET', `${JOBS}/${segment(id)}/history`, {
      query: { limit: 1000 },
      signal
    });
    return answer.Items ?? [];
  }

  /** Where the results were published: one reference per execution. */
  async results(id: string, signal?: AbortSignal): Promise<ISpecConfig[]> {
    const answer = await json<IPage<ISpecConfig>>(this.transport, 'GET', `${JOBS}/${segment(id)}/results`, {
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

  async rerun(id: string): Promise<{ JobID: string; JobVersion: number }> {
    return json(this.transport, 'PUT', `${JOBS}/${segment(id)}/rerun`, { body: {} });
  }
}
