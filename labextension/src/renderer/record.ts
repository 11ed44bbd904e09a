import { IPart, readParts } from './parts';

/** What a cell's output says about its job; see `bacalhau_jupyter/notebook/live/card.py`. */
export interface IRecord {
  /** Empty while the cluster has not taken the job yet. */
  readonly job: string;
  /** What a person calls it, as far as the kernel knew. */
  readonly title: string;
  /** Which finished job answered instead of a new one, in words; else empty. */
  readonly cached: string;
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
  /** Whether the cell prints what the job prints. */
  readonly followed: boolean;
  /** Whether the cell has stopped doing so although the job goes on. */
  readonly detached: boolean;
  /** How many lines were printed, when not all of them are in the cell; 0 otherwise. */
  readonly lines: number;
  /** How the parts of a job ended that runs several times; empty for other jobs, and before the end. */
  readonly parts: readonly IPart[];
  /** Whether a newer release wrote it, so that there may be more than is shown here. */
  readonly newer: boolean;
}

export const MIME = 'application/vnd.bacalhau.job+json';
const VERSION = 1;
/** Notebooks come from anywhere; longer texts are cut. */
const TEXT_LIMIT = 4000;

/** Read a record; null when it names neither a job nor what goes on instead. Members of the wrong type count as missing. */
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
  if (!job && !text('phase')) {
    return null;
  }
  const seconds = number('duration_s');
  return {
    job,
    title: text('title'),
    cached: text('cached'),
    endpoint: text('endpoint'),
    state: text('state'),
    phase: text('phase'),
    node: text('node'),
    runtime: text('runtime'),
    exitCode: number('exit_code'),
    durationMs: seconds === null ? null : seconds * 1000,
    results: text('results'),
    error: text('error'),
    followed: plain.followed === true,
    detached: plain.detached === true,
    lines: number('lines') ?? 0,
    parts: readParts(plain.parts),
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
