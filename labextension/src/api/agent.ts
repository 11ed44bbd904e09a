import { ITransport, json } from './transport';
import { INodeInfo, IStatus } from './types';

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
