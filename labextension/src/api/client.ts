import { ITransport, json, Query, segment } from './transport';
import { ConnectionsApi } from './connections';
import { DataApi, DiskApi } from './data';
import { ResultFilesApi } from './files';
import { ResultsApi } from './results';
import { IExecution, IHistoryItem, IJob, INodeInfo, INodeState, IPage, ISpecConfig, IStatus } from './types';

const JOBS = 'api/v1/orchestrator/jobs';
const NODES = 'api/v1/orchestrator/nodes';

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

/** Nodes: list, look at, change membership. */
export class NodesApi {
  constructor(private readonly transport: ITransport) {}

  async list(signal?: AbortSignal): Promise<INodeState[]> {
    const answer = await json<{ Nodes?: INodeState[] | null }>(this.transport, 'GET', NODES, { signal });
    return answer.Nodes ?? [];
  }

  async get(id: string): Promise<INodeState> {
    return (await json<{ Node: INodeState }>(this.transport, 'GET', `${NODES}/${segment(id)}`)).Node;
  }

  async change(id: string, action: 'approve' | 'reject' | 'delete', message = ''): Promise<void> {
    const body = { Action: action, Message: message, NodeID: id };
    await json(this.transport, 'PUT', `${NODES}/${segment(id)}`, { body });
  }
}

/** The cluster itself. */
export class AgentApi {
  constructor(private readonly transport: ITransport) {}

  /** What the gateway says about itself and about the connected cluster. */
  async status(signal?: AbortSignal): Promise<IStatus> {
    return json(this.transport, 'GET', 'status', { signal });
  }

  async node(signal?: AbortSignal): Promise<INodeInfo> {
    return json(this.transport, 'GET', 'api/v1/agent/node', { signal });
  }
}

/** Everything that can be asked. A new group of calls is a class in a file of its own, and a member here. */
export class Api {
  readonly jobs: JobsApi;
  readonly nodes: NodesApi;
  readonly agent: AgentApi;
  readonly results: ResultsApi;
  readonly files: ResultFilesApi;
  readonly connections: ConnectionsApi;
  readonly data: DataApi;
  readonly disk: DiskApi;

  constructor(readonly transport: ITransport) {
    this.jobs = new JobsApi(transport);
    this.nodes = new NodesApi(transport);
    this.agent = new AgentApi(transport);
    this.results = new ResultsApi(transport, this.jobs);
    this.files = new ResultFilesApi(transport);
    this.connections = new ConnectionsApi(transport);
    this.data = new DataApi(transport);
    this.disk = new DiskApi(transport);
  }
}
