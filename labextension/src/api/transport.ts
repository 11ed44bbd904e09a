import { ApiError, errorOf } from './errors';
import { Query } from './query';

export type { Query };

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

/** Whoever has not begun to answer after so long is not waited for. */
const ANSWER_TIMEOUT_MS = 60_000;

/** Wait for an answer to begin; throws `ApiError` with this text when none does. What `signal` ends is ended. */
export async function answered(
  signal: AbortSignal | undefined,
  silent: string,
  send: (signal: AbortSignal) => Promise<Response>
): Promise<Response> {
  const late = new AbortController();
  const leave = (): void => late.abort();
  const timer = window.setTimeout(leave, ANSWER_TIMEOUT_MS);
  signal?.addEventListener('abort', leave);
  if (signal?.aborted) {
    leave();
  }
  try {
    return await send(late.signal);
  } catch (reason) {
    if (signal?.aborted) {
      throw reason;
    }
    throw new ApiError(silent, 'network');
  } finally {
    window.clearTimeout(timer);
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

/** Percent-encode one segment of a path; throws `ApiError` for one that would lead to another path. */
export function segment(text: string): string {
  if (text === '.' || text === '..') {
    // Browsers follow these however they are encoded.
    throw new ApiError(`"${text}" is not a name`, 'api', 400);
  }
  // Half a character has no encoding; it is not part of any name that a server knows.
  return encodeURIComponent(text.replace(/\p{Cs}/gu, '\ufffd'));
}
