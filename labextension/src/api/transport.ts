import { URLExt } from '@jupyterlab/coreutils';
import { ServerConnection } from '@jupyterlab/services';
import { ApiError, errorOf } from './errors';

export type Query = Record<string, string | number | boolean | readonly string[] | undefined>;

/** The part of a websocket that we use, so that tests can stand in for it. */
export interface ISocket {
  onopen: ((event: unknown) => void) | null;
  onmessage: ((event: { data: unknown }) => void) | null;
  onclose: ((event: { code: number; reason: string }) => void) | null;
  onerror: ((event: unknown) => void) | null;
  close(code?: number, reason?: string): void;
}

/** The one way out of the browser. Paths are relative to the gateway, such as `api/v1/agent/node`. */
export interface ITransport {
  /** Send a request and return the answer, whatever its status; throws `ApiError` when nobody answers. */
  fetch(method: string, path: string, options?: IRequestOptions): Promise<Response>;
  /** Open a websocket. */
  socket(path: string, query?: Query): ISocket;
  /** The address of something that the browser itself opens: a download. */
  url(path: string, query?: Query): string;
}

export interface IRequestOptions {
  query?: Query;
  body?: unknown;
  signal?: AbortSignal;
  headers?: Record<string, string>;
}

/** Reaches the gateway of the Jupyter server that this page came from. */
export class JupyterTransport implements ITransport {
  constructor(
    private readonly settings: ServerConnection.ISettings,
    private readonly prefix = 'bacalhau'
  ) {}

  async fetch(method: string, path: string, options: IRequestOptions = {}): Promise<Response> {
    const init: RequestInit = { method, signal: options.signal ?? null, headers: options.headers ?? {} };
    if (options.body !== undefined) {
      init.body = JSON.stringify(options.body);
      init.headers = { ...options.headers, 'Content-Type': 'application/json' };
    }
    try {
      return await ServerConnection.makeRequest(this.url(path, options.query), init, this.settings);
    } catch (reason) {
      if (options.signal?.aborted) {
        throw reason;
      }
      throw new ApiError('the Jupyter server does not answer', 'network');
    }
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

/** Send a request and return its JSON; throws `ApiError` for anything but success. */
export async function json<T>(
  transport: ITransport,
  method: string,
  path: string,
  options?: IRequestOptions
): Promise<T> {
  const response = await transport.fetch(method, path, options);
  const text = await response.text();
  if (!response.ok) {
    throw errorOf(response.status, text);
  }
  try {
    return JSON.parse(text) as T;
  } catch {
    throw new ApiError('the answer of the server is no JSON', 'api', response.status);
  }
}

/** Percent-encode one segment of a path. */
export function segment(text: string): string {
  return encodeURIComponent(text);
}

function encode(query: Query): string {
  const parameters = new URLSearchParams();
  for (const [name, value] of Object.entries(query)) {
    if (Array.isArray(value)) {
      value.forEach(item => parameters.append(name, String(item)));
    } else if (value !== undefined && value !== '') {
      parameters.append(name, String(value));
    }
  }
  const text = parameters.toString();
  return text ? `?${text}` : '';
}
