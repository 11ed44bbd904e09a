import { IExecution, IJob, isOver } from '../api/types';
import { shortId } from '../format/units';
import { executionState, exitOf, isRefused, lacksRoom, messageOf, tookMs } from '../jobs/facts';
import { Outcome, OUTCOMES } from '../store/outcome';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** One part of a job that runs several times, or on several nodes. */
export interface IPart {
  readonly label: string;
  /** The execution that counts; empty while none began. */
  readonly execution: string;
  readonly outcome: Outcome;
  readonly exitCode: number | null;
  readonly durationMs: number | null;
  readonly error: string;
  /** Whether its node turned it down; `error` says why. */
  readonly refused: boolean;
}

/** Parts that a card shows one by one; the panel has the others. */
export const MOST_PARTS = 100;

/** The parts of a job as the cluster says it; none of a job that runs once. */
export function partsOf(job: IJob, executions: readonly IExecution[], trans: ITranslate): IPart[] {
  const groups =
    job.Type === 'ops'
      ? [...new Set(executions.map(item => item.NodeID ?? ''))].map((node): [string, IExecution[]] => [
          trans.__('on %1', shortId(node)),
          executions.filter(item => (item.NodeID ?? '') === node)
        ])
      : Array.from({ length: Math.min(job.Count ?? 0, MOST_PARTS) }, (_, number): [string, IExecution[]] => [
          // The number that the program finds in $BACALHAU_PARTITION_INDEX.
          trans.__('part %1', number),
          executions.filter(item => (item.PartitionIndex ?? 0) === number)
        ]);
  return groups.length < 2
    ? []
    : groups.slice(0, MOST_PARTS).map(([label, own]) => partOf(label, decidingOf(own), job));
}

/** The parts that a card's record has; members of the wrong type count as missing. */
export function readParts(data: unknown): IPart[] {
  if (!Array.isArray(data)) {
    return [];
  }
  return data.slice(0, MOST_PARTS).map((each: unknown): IPart => {
    const plain = (typeof each === 'object' && each !== null ? each : {}) as Record<string, unknown>;
    const text = (name: string): string => {
      const value = plain[name];
      return typeof value === 'string' ? value.slice(0, 400) : '';
    };
    const number = (name: string): number | null => {
      const value = plain[name];
      return typeof value === 'number' && Number.isFinite(value) ? value : null;
    };
    const outcome = text('outcome') as Outcome;
    const seconds = number('duration_s');
    return {
      label: text('label'),
      execution: text('execution'),
      outcome: OUTCOMES.includes(outcome) ? outcome : 'waiting',
      exitCode: number('exit_code'),
      durationMs: seconds === null ? null : seconds * 1000,
      error: text('error'),
      refused: plain.refused === true
    };
  });
}

/** The execution of a part that counts: the last that completed, else the last one. */
function decidingOf(executions: readonly IExecution[]): IExecution | undefined {
  const done = executions.filter(item => executionState(item) === 'Completed');
  const from = done.length > 0 ? done : executions;
  return [...from].sort((a, b) => (b.CreateTime ?? 0) - (a.CreateTime ?? 0))[0];
}

function partOf(label: string, execution: IExecution | undefined, job: IJob): IPart {
  const outcome = execution ? outcomeOf(execution, job) : neverRan(job);
  const refused = execution !== undefined && outcome !== 'waiting' && isRefused(execution);
  const ended = outcome !== 'waiting' && outcome !== 'running';
  return {
    label,
    execution: execution?.ID ?? '',
    outcome,
    exitCode: execution ? exitOf(execution) : null,
    durationMs: execution && ended ? tookMs(execution, 0) : null,
    error: execution && (refused || outcome === 'failed') ? messageOf(execution) : '',
    refused
  };
}

function outcomeOf(execution: IExecution, job: IJob): Outcome {
  switch (executionState(execution)) {
    case 'Completed':
      return exitOf(execution) ? 'failed' : 'succeeded';
    case 'Failed':
      return 'failed';
    case 'Cancelled':
      return 'stopped';
    case 'BidAccepted':
    case 'Running':
    case 'Publishing':
      return 'running';
    case 'AskForBidRejected':
      // A node of a job for all nodes that has no room now is asked again; whoever can't run it never is.
      return job.Type === 'ops' && !isOver(job.State?.StateType) && !lacksRoom(execution)
        ? 'stopped'
        : neverRan(job);
    default:
      return neverRan(job);
  }
}

/** What is known of a part whose program did not begin. */
function neverRan(job: IJob): Outcome {
  const state = job.State?.StateType;
  return !isOver(state) ? 'waiting' : state === 'Failed' ? 'failed' : 'stopped';
}
