import { encode, Query } from '../api/query';
import { answered, IRequestOptions, ISocket, ITransport } from '../api/transport';
import { IStatus } from '../api/types';
import { VERSION } from '../version';

const LOGIN = '/login';

/** Reaches the node that this page came from; the session is a cookie that no script can read. */
export class PageTransport implements ITransport {
  constructor(
    private readonly place: Location = window.location,
    private readonly ask: typeof fetch = (input, init) => window.fetch(input, init)
  ) {}

  async fetch(method: string, path: string, options: IRequestOptions = {}): Promise<Response> {
    // There is no gateway in between that could be asked how things are.
    return path === 'status' ? this.status(options.signal) : this.request(method, path, options);
  }

  socket(path: string, query: Query = {}): ISocket {
    const scheme = this.place.protocol === 'https:' ? 'wss:' : 'ws:';
    return new WebSocket(`${scheme}//${this.place.host}/${path}${encode(query)}`) as unknown as ISocket;
  }

  url(path: string, query: Query = {}): string {
    return `/${path}${encode(query)}`;
  }

  /** End the session and go to the login. */
  async logOut(): Promise<void> {
    await this.request('POST', 'logout', { body: {} });
    this.place.assign(LOGIN);
  }

  private async request(method: string, path: string, options: IRequestOptions): Promise<Response> {
    const init: RequestInit = {
      method,
      headers: { Accept: 'application/json', ...options.headers },
      credentials: 'same-origin'
    };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { ...init.headers, 'Content-Type': 'application/json' };
    }
    const response = await answered(options.signal, 'the node does not answer', signal =>
      this.ask(this.url(path, options.query), { ...init, signal })
    );
    if (response.status === 401) {
      // The session has ended.
      this.place.assign(LOGIN);
    }
    return response;
  }

  private async status(signal?: AbortSignal): Promise<Response> {
    const status: IStatus = {
      version: VERSION,
      cluster: { url: this.place.origin, source: 'this page', embedded: false },
      alive: true,
      node_version: '',
      active_jobs: null,
      problem: ''
    };
    try {
      const answer = await this.request('GET', 'api/v1/agent/version', { signal });
      // Something in between may answer with a page of its own.
      const version = (await answer.json().catch(() => null)) as { GitVersion?: unknown } | null;
      status.node_version = typeof version?.GitVersion === 'string' ? version.GitVersion : '';
      status.alive = answer.ok;
      status.problem = answer.ok ? '' : `The node answers with HTTP ${answer.status}.`;
    } catch (reason) {
      if (signal?.aborted) {
        throw reason;
      }
      status.alive = false;
      status.problem = 'The node does not answer.';
    }
    return new Response(JSON.stringify(status), { headers: { 'Content-Type': 'application/json' } });
  }
}
