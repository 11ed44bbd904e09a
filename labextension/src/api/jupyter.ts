import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { encode, Query } from './query';
import { answered, IRequestOptions, ISocket, ITransport } from './transport';

/** Reaches the gateway of the Jupyter server that this page came from. */
export class JupyterTransport implements ITransport {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly prefix = 'bacalhau'
  ) {}

  async fetch(method: string, path: string, options: IRequestOptions = {}): Promise<Response> {
    const init: RequestInit = { method, headers: options.headers ?? {} };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { ...options.headers, 'Content-Type': 'application/json' };
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
