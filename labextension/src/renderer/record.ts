/** What a cell's output says about its job; see `bacalhau_jupyter/notebook/display.py`. */
export interface IRecord {
  readonly job: string;
  /** The cluster that the kernel was connected to. */
  readonly endpoint: string;
  readonly state: string;
  readonly phase: string;
  readonly node: string;
  readonly runtime: string;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
  readonly results: string;
  readonly error: string;
  /** Whether a newer release wrote it, so that there may be more than is shown here. */
  readonly newer: boolean;
}

export const MIME = 'application/vnd.bacalhau.job+json';
const VERSION = 1;
/** Notebooks come from anywhere; longer texts are cut. */
const TEXT_LIMIT = 4000;

/** Read a record; null when it names no job. Members of the wrong type count as missing. */
export function readRecord(data: unknown): IRecord | null {
  if (typeof data !== 'object' || data === null || Array.isArray(data)) {
    return null;
  }
  const plain = data as Record<string, unknown>;
  const text = (name: string): string => {
    const value = plain[name];
    return typeof value === 'string' ? value.slice(0, TEXT_LIMIT) : '';
  };
  const number = (name: string): number | null => {
    const value = plain[name];
    return typeof value === 'number' && Number.isFinite(value) ? value : null;
  };
  const job = text('job_id');
  if (!job) {
    return null;
  }
  const seconds = number('duration_s');
  return {
    job,
    endpoint: text('endpoint'),
    state: text('state'),
    phase: text('phase'),
    node: text('node'),
    runtime: text('runtime'),
    exitCode: number('exit_code'),
    durationMs: seconds === null ? null : seconds * 1000,
    results: text('results'),
    error: text('error'),
    newer: (number('version') ?? 0) > VERSION
  };
}

/** Whether two addresses lead to the same server, as far as their text tells. */
export function sameCluster(one: string, other: string): boolean {
  return plainAddress(one) === plainAddress(other);
}

function plainAddress(text: string): string {
  try {
    const url = new URL(text);
    const host = ['localhost', '[::1]', '0.0.0.0'].includes(url.hostname) ? '127.0.0.1' : url.hostname;
    return `${url.protocol}//${host}:${url.port}${url.pathname.replace(/\/+$/, '')}`;
  } catch {
    return text;
  }
}
