import { ITransport, json, segment } from './transport';
import { INodeState } from './types';

const NODES = 'api/v1/orchestrator/nodes';

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
