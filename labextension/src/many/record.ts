import { Outcome, OUTCOMES } from '../store/outcome';

/** One job of a group, as its card's record has it. */
export interface IMember {
  /** What distinguishes it: `lr=0.1, depth=3`. */
  readonly label: string;
  /** Empty while the cluster has not taken it. */
  readonly job: string;
  /** Null where the record does not say: then only the cluster knows. */
  readonly outcome: Outcome | null;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
  readonly error: string;
}

/** What the card of many jobs says; see `bacalhau_jupyter/notebook/live/many_card.py`. */
export interface IManyRecord {
  /** The value of the label that the jobs share. */
  readonly group: string;
  /** What they are called: `combinations`, `calls`. */
  readonly what: string;
  readonly endpoint: string;
  /** What goes on while there are no jobs yet; empty later. */
  readonly phase: string;
  readonly members: readonly IMember[];
  readonly newer: boolean;
}

export const MANY_MIME = 'application/vnd.bacalhau.jobs+json';
/** The label that the jobs of a group share. */
export const GROUP = 'bacalhau-group';
const VERSION = 1;
const TEXT_LIMIT = 400;
/** Notebooks come from anywhere; no sweep has more jobs than that without a flag. */
const MOST_MEMBERS = 100_000;

/** Read a record; null when it is none. Members of the wrong type count as missing. */
export function readMany(data: unknown): IManyRecord | null {
  const plain = asObject(data);
  if (plain === null || !Array.isArray(plain.jobs) || plain.jobs.length > MOST_MEMBERS) {
    return null;
  }
  return {
    group: text(plain, 'group'),
    what: text(plain, 'what'),
    endpoint: text(plain, 'endpoint'),
    phase: text(plain, 'phase'),
    members: plain.jobs.map(memberOf),
    newer: (number(plain, 'version') ?? 0) > VERSION
  };
}

function memberOf(data: unknown): IMember {
  const plain = asObject(data) ?? {};
  const seconds = number(plain, 'duration_s');
  const outcome = text(plain, 'outcome') as Outcome;
  return {
    label: text(plain, 'label'),
    job: text(plain, 'job_id'),
    outcome: OUTCOMES.includes(outcome) ? outcome : null,
    exitCode: number(plain, 'exit_code'),
    durationMs: seconds === null ? null : seconds * 1000,
    error: text(plain, 'error')
  };
}

function asObject(data: unknown): Record<string, unknown> | null {
  return typeof data === 'object' && data !== null && !Array.isArray(data)
    ? (data as Record<string, unknown>)
    : null;
}

function text(plain: Record<string, unknown>, name: string): string {
  const value = plain[name];
  return typeof value === 'string' ? value.slice(0, TEXT_LIMIT) : '';
}

function number(plain: Record<string, unknown>, name: string): number | null {
  const value = plain[name];
  return typeof value === 'number' && Number.isFinite(value) ? value : null;
}
