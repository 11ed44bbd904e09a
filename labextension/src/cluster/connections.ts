import { ApiError, asApiError } from '../api/errors';
import { IConnection, IConnectionInput, IConnections } from '../api/connections';
import { release } from '../api/handshake';
import { INodeInfo, IStatus } from '../api/types';
import { Observable } from '../store/signal';
import { IBacalhau } from '../tokens';

export interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

export const EMPTY_INPUT: IConnectionInput = {
  name: '',
  endpoint: '',
  token: '',
  description: '',
  timeout: '',
  insecure: false,
  ca_file: ''
};

/** What a form starts with; a token is never among it. */
export function inputOf(connection: IConnection): IConnectionInput {
  return {
    ...EMPTY_INPUT,
    name: connection.name,
    endpoint: connection.endpoint ?? '',
    description: connection.description ?? '',
    timeout: connection.timeout ?? '',
    insecure: connection.insecure ?? false,
    ca_file: connection.ca_file ?? ''
  };
}

/** What is missing before a connection can be tested or saved: a sentence, or empty. */
export function missing(input: IConnectionInput, taken: readonly string[], trans: ITranslate): string {
  if (!input.name.trim()) {
    return trans.__('Give the connection a name.');
  }
  if (taken.includes(input.name.trim())) {
    return trans.__('There is a connection of this name already.');
  }
  return input.endpoint.trim() ? '' : trans.__('Enter the address of the cluster.');
}

/** Where the choice of the cluster comes from, in words. */
export function sourceText(status: IStatus, trans: ITranslate): string {
  const { cluster } = status;
  if (cluster === null) {
    return trans.__('no cluster');
  }
  if (cluster.embedded) {
    return trans.__('the node of the Jupyter server’s machine');
  }
  const name = /^profile (.+)$/.exec(cluster.source)?.[1];
  return name ? trans.__('the saved connection “%1”', name) : cluster.source;
}

/** What differs between the versions, and the way out; one sentence or two each. */
export function versionNotes(
  status: IStatus,
  node: INodeInfo | null,
  mine: string,
  trans: ITranslate
): string[] {
  const notes: string[] = [];
  if (release(status.version) !== release(mine)) {
    notes.push(
      trans.__(
        'This page and the Jupyter server are of different versions: restart the Jupyter server and reload the page.'
      )
    );
  }
  if (node === null || !status.alive) {
    return notes;
  }
  if (!node.JupyterVersion) {
    notes.push(
      trans.__(
        'This cluster runs official Bacalhau: functions that only bacalhau-jupyter nodes have are not available.'
      )
    );
  } else if (release(node.JupyterVersion) !== release(status.version)) {
    notes.push(
      status.cluster?.embedded
        ? trans.__(
            'The node was started by bacalhau-jupyter %1 and continues to work. Stop it when no job runs; it restarts as %2.',
            node.JupyterVersion,
            status.version
          )
        : trans.__(
            'The node runs bacalhau-jupyter %1, this server %2: functions that only one of them has may not work.',
            node.JupyterVersion,
            status.version
          )
    );
  }
  return notes;
}

/** The saved connections, as the Cluster tab and the commands see them. */
export class Connections {
  readonly list = new Observable<IConnections | null>(null);
  readonly problem = new Observable<ApiError | null>(null);
  /** The form that is open: of a new connection, or of a saved one; null without one. */
  readonly form = new Observable<{ editing: IConnection | null } | null>(null);
  /** Whether a switch is under way. */
  readonly switching = new Observable<boolean>(false);

  constructor(private readonly app: Pick<IBacalhau, 'api' | 'sync' | 'host' | 'trans'>) {}

  async read(): Promise<void> {
    try {
      this.took(await this.app.api.connections.list());
    } catch (reason) {
      this.problem.set(asApiError(reason));
    }
  }

  /** Use another cluster: everything that was read belongs to the old one. */
  async use(name: string): Promise<void> {
    const { api, sync, host, trans } = this.app;
    this.switching.set(true);
    try {
      this.took(await api.connections.use(name));
      await sync.reconnect();
    } catch (reason) {
      host.showError(trans.__('The connection could not be switched'), reason);
    } finally {
      this.switching.set(false);
    }
  }

  /** Save a connection; throws what the server says. One that is in use is connected to anew. */
  async save(input: IConnectionInput): Promise<void> {
    const saved = await this.app.api.connections.save({ ...input, name: input.name.trim() });
    this.took(saved);
    this.form.set(null);
    if (saved.current === input.name.trim() && !saved.fixed_by) {
      await this.use(saved.current);
    }
  }

  /** Remove a connection; asks first. */
  async remove(name: string): Promise<void> {
    const { api, host, trans } = this.app;
    const title = trans.__('Remove the connection “%1”?', name);
    const text = trans.__('Its address and token are forgotten. The cluster itself is not touched.');
    if (!(await host.confirm(title, text, trans.__('Remove')))) {
      return;
    }
    try {
      this.took(await api.connections.remove(name));
    } catch (reason) {
      host.showError(trans.__('The connection could not be removed'), reason);
    }
  }

  private took(list: IConnections): void {
    this.list.set(list);
    this.problem.set(null);
  }
}
