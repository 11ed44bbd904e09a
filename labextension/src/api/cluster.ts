import { ITransport, json } from './transport';

/** How nodes of other processes join the connected one. */
export interface IClusterState {
  IsOpen: boolean;
  /** Why it is open, where that is not somebody's order. */
  OpenedBy?: string;
  Address?: string;
  IsPublic?: boolean;
  IsEncrypted?: boolean;
  NeedsToken?: boolean;
  /** A file of the node's machine; its content never passes here. */
  TokenFile?: string;
  Link: { IsUp: boolean; Reason?: string };
  Nodes: number;
}

const CLUSTER = 'api/v1/cluster';

/** The link of the connected node to others (feature `cluster`). */
export class ClusterApi {
  constructor(private readonly transport: ITransport) {}

  async state(signal?: AbortSignal): Promise<IClusterState> {
    return json(this.transport, 'GET', CLUSTER, { signal });
  }

  /** Let nodes of the node's own machine join; for others somebody has to choose an address. */
  async open(): Promise<IClusterState> {
    return json(this.transport, 'POST', `${CLUSTER}/open`, { body: {} });
  }

  async close(): Promise<IClusterState> {
    return json(this.transport, 'POST', `${CLUSTER}/close`, { body: {} });
  }
}
