import { ITransport, json, segment } from './transport';

const CONNECTIONS = 'connections';

/** A saved connection. Its token never comes back; only whether there is one. */
export interface IConnection {
  name: string;
  endpoint?: string;
  description?: string;
  insecure?: boolean;
  ca_file?: string;
  timeout?: string;
  has_token?: boolean;
  /** Why it can't be used; empty when it can. */
  problem?: string;
}

export interface IConnections {
  /** The one in use; empty for the node of the Jupyter server's machine. */
  current: string;
  /** The variable of the Jupyter server that decides which cluster is used; empty when people may choose. */
  fixed_by: string;
  connections: IConnection[];
}

/** What a person enters. An empty token keeps the saved one of the same name and endpoint. */
export interface IConnectionInput {
  name: string;
  endpoint: string;
  token: string;
  description: string;
  timeout: string;
  insecure: boolean;
  /** On the Jupyter server: the certificate of the authority that signed the cluster's. */
  ca_file: string;
}

export interface IConnectionTest {
  ok: boolean;
  version: string;
  nodes: number | null;
  problem: string;
}

/** The clusters that this Jupyter server knows, and which one it uses. */
export class ConnectionsApi {
  constructor(private readonly transport: ITransport) {}

  async list(signal?: AbortSignal): Promise<IConnections> {
    return json(this.transport, 'GET', CONNECTIONS, { signal });
  }

  async save(connection: IConnectionInput): Promise<IConnections> {
    return json(this.transport, 'PUT', CONNECTIONS, { body: connection });
  }

  /** Use another cluster from now on; an empty name means the node of the Jupyter server's machine. */
  async use(name: string): Promise<IConnections> {
    return json(this.transport, 'PUT', `${CONNECTIONS}/current`, { body: { name } });
  }

  async test(connection: IConnectionInput, signal?: AbortSignal): Promise<IConnectionTest> {
    return json(this.transport, 'POST', `${CONNECTIONS}/test`, { body: connection, signal });
  }

  async remove(name: string): Promise<IConnections> {
    return json(this.transport, 'DELETE', `${CONNECTIONS}/saved/${segment(name)}`);
  }
}
