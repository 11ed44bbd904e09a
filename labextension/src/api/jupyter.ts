import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { Presence } from './presence';
import { encode, Query } from './query';
import { answered, IRequestOptions, ISocket, ITransport } from './transport';

/** Reaches the gateway of the Jupyter server that this page came from. */
export class JupyterTransport implements ITransport {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly prefix = 'bacalhau',
    private readonly presence: Pick<Presence, 'headers'> = new Presence()
  ) {}

  async fetch(method: string, path: string, options: IRequestOptions = {}): Promise<Response> {
    const headers = { ...options.headers, ...this.presence.headers() };
    const init: RequestInit = { method, headers };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { ...headers, 'Content-Type': 'application/json' };
    }
    return answered(options.signal, 'the Jupyter server does not answer', signal =>
      ServerConnection.makeRequest(this.url(path, options.query), { ...init, signal }, this.settings)
    );
  }

  socket(path: string, query: Query = {}): ISocket {
    const { wsUrl, token, appendToken, WebSocket } = this.settings;
    const url =
      URLExt.join(wsUrl, this.prefix, path) + encode(appendToken && token ? { ...query, token } : query);
    return new WebSocket(url) as unknown as ISocket;
  }

  url(path: string, query: Query = {}): string {
    return URLExt.join(this.settings.baseUrl, this.prefix, path) + encode(query);
  }
}
