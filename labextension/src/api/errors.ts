import { readableLines } from '../format/text';

/**
 * - `extension`: the server half is missing, or too old for what was asked
 * - `network`: nobody answered
 * - `auth`: Jupyter, or the cluster, does not let this user do it
 * - `api`: the cluster answered with an error of its own
 */
export type ErrorKind = 'extension' | 'network' | 'auth' | 'api';

/** An error that a person may read: one sentence, and a hint where there is one. */
export class ApiError extends Error {
  readonly hint: string;

  constructor(
    message: string,
    readonly kind: ErrorKind,
    readonly status = 0,
    readonly code = '',
    hint = '',
    readonly component = ''
  ) {
    super(readableLines(message));
    this.name = 'ApiError';
    this.hint = readableLines(hint);
  }
}

interface IEnvelope {
  Status?: number;
  Message?: string;
  Code?: string;
  Component?: string;
  Hint?: string;
  Details?: { reason?: unknown } | null;
  message?: string;
}

/** Read the answer to a failed request: the official envelope, Jupyter's own, or a page of something in between. */
export function errorOf(status: number, body: string): ApiError {
  const envelope = parse(body);
  const message = envelope?.Message ?? envelope?.message;
  const code = textOf(envelope?.Code);
  const hint = envelope?.Hint ?? '';
  const component = textOf(envelope?.Component);
  if (status === 401 || status === 403) {
    // Who lacks which capability stands there; the message says only that something is forbidden.
    const reason = component === 'Authorizer' ? textOf(envelope?.Details?.reason) : '';
    const sentence = reason || message || `not allowed (HTTP ${status})`;
    const wayOut = status === 403 && reason ? 'The administrator of the node grants capabilities.' : hint;
    return new ApiError(sentence, 'auth', status, code, wayOut, component);
  }
  // Our server half answers with the envelope, always; another 404 comes from a Jupyter server without it.
  if (status === 404 && envelope?.Message === undefined) {
    return new ApiError('the Jupyter server has no Bacalhau extension', 'extension', status);
  }
  return new ApiError(message || `HTTP ${status}`, 'api', status, code, hint, component);
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}

function parse(body: string): IEnvelope | null {
  try {
    const parsed: unknown = JSON.parse(body);
    return typeof parsed === 'object' && parsed !== null ? parsed : null;
  } catch {
    return null;
  }
}

/** Turn whatever was thrown into an `ApiError`. */
export function asApiError(reason: unknown): ApiError {
  if (reason instanceof ApiError) {
    return reason;
  }
  return new ApiError(reason instanceof Error ? reason.message : String(reason), 'network');
}
