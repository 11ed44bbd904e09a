import { asApiError } from './errors';
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
    try {
      return await json(this.transport, 'GET', 'api/v1/agent/node', { signal });
    } catch (reason) {
      if (asApiError(reason).status !== 403) {
        throw reason;
      }
      // Who may not see the node is told what it offers to jobs, so that the panel knows what it can ask for.
      return json(this.transport, 'GET', 'api/v1/agent/offer', { signal });
    }
  }
}
