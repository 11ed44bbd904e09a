import { EXECUTION_STATES, IExecution, IJob, isOver, JobStateName } from '../api/types';

/** How a job stands for people: an exit code other than 0 is a failure, whatever the official state is called. */
export type Outcome = 'waiting' | 'running' | 'succeeded' | 'failed' | 'stopped';

export const OUTCOMES: readonly Outcome[] = ['waiting', 'running', 'succeeded', 'failed', 'stopped'];

/** What became of a job, as far as it is known. */
export interface IEnd {
  readonly outcome: Outcome;
  /** Null while unknown. */
  readonly exitCode: number | null;
  /** The last line that a failed program wrote to stderr; empty where it is unknown. */
  readonly error: string;
  /** When it began to run, in milliseconds since the epoch; null while unknown. */
  readonly started: number | null;
}

/** The details of a job's state in which our nodes write what became of it. An official node writes none. */
const [OUTCOME, EXIT_CODE, ERROR, NODE, START_TIME] = [
  'Outcome',
  'ExitCode',
  'Error',
  'NodeID',
  'StartTime'
] as const;
const RECORDED: readonly string[] = [OUTCOME, EXIT_CODE, ERROR, NODE, START_TIME];

type Details = Readonly<Record<string, unknown>>;

/** The outcome of a job in this state whose program ended with this exit code. */
export function outcomeOf(state: JobStateName, exitCode: number | null): Outcome {
  switch (state) {
    case 'Running':
      return 'running';
    case 'Stopped':
      return 'stopped';
    case 'Failed':
      return 'failed';
    case 'Completed':
      return exitCode ? 'failed' : 'succeeded';
    default:
      return 'waiting';
  }
}

/** What became of a job: as its node noted it, else as its executions say it. */
export function endOf(job: IJob, state: JobStateName, executions: readonly IExecution[] | null): IEnd {
  const details = detailsOf(job);
  const deciding = isOver(state) && executions ? decidingOf(executions) : undefined;
  const exitCode = isOver(state) ? (recordedCode(details) ?? exitOf(deciding)) : null;
  return {
    outcome: outcomeOf(state, exitCode),
    exitCode,
    error: textOf(details[ERROR]) || (exitCode ? lastErrorLine(deciding) : ''),
    started:
      milliseconds(details[START_TIME]) ??
      milliseconds((deciding ?? cutShort(details, executions))?.CreateTime)
  };
}

/** The execution of a job that was stopped, where no node of ours noted whether the job ever ran. */
function cutShort(details: Details, executions: readonly IExecution[] | null): IExecution | undefined {
  return details[OUTCOME] === undefined
    ? executions?.find(item => EXECUTION_STATES[item.ComputeState?.StateType ?? 0] === 'Cancelled')
    : undefined;
}

/** How the official texts begin of a job that no node takes; each node's reason has a line of its own below. */
const NO_NODE = /^not (enough|matching) nodes to run job/;

/** Why a job failed, in one line, of what its state says: the reasons of nodes rather than their number. */
export function reasonIn(message: string): string {
  const [first = '', ...rest] = message.split('\n');
  const reasons = NO_NODE.test(first)
    ? rest.map(line => line.replace(/^• /, '').trim()).filter(line => line && !line.endsWith(':'))
    : [];
  const [only = '', ...others] = reasons;
  return (others.length > 0 ? reasons.join('; ') : only.replace(/^(Node \S+|1 of 1 nodes): /, '')) || first;
}

/** The node that decided the outcome, where our node noted it. */
export function recordedNode(job: IJob): string {
  return textOf(detailsOf(job)[NODE]);
}

/** Whether a node of ours noted what a row shows, so that nobody need ask for the executions. */
export function isRecorded(job: IJob, state: JobStateName): boolean {
  const details = detailsOf(job);
  return isOver(state) ? details[OUTCOME] !== undefined : details[START_TIME] !== undefined;
}

/** The job in a new state, with what the event that told of it says of the outcome. */
export function withState(job: IJob, state: JobStateName, details: Details | undefined, ms: number): IJob {
  // What became of a job says nothing of the next time that it runs.
  const before = isOver(job.State?.StateType) && !isOver(state) ? {} : detailsOf(job);
  const noted: Record<string, string> = { ...(before as Record<string, string>) };
  for (const name of RECORDED) {
    const value = details?.[name];
    if (typeof value === 'string') {
      noted[name] = value;
    }
  }
  if (state === 'Running' && noted[START_TIME] === undefined && Number.isFinite(ms)) {
    noted[START_TIME] = `${Math.round(ms)}000000`;
  }
  return { ...job, State: { ...job.State, StateType: state, Details: noted } };
}

/** The execution by which people judge a job: one whose program failed, else the last that ended well. */
function decidingOf(executions: readonly IExecution[]): IExecution | undefined {
  const failing = executions.filter(item => (codeOf(item) ?? 0) !== 0);
  const done = executions.filter(item => EXECUTION_STATES[item.ComputeState?.StateType ?? 0] === 'Completed');
  const candidates = failing.length > 0 ? failing : done;
  return [...candidates].sort((a, b) => (b.ModifyTime ?? 0) - (a.ModifyTime ?? 0))[0];
}

function exitOf(execution: IExecution | undefined): number | null {
  return execution ? (codeOf(execution) ?? null) : null;
}

/**
 * The exit code of an execution for people. Official nodes write -1 for a WebAssembly program that just returned: it
 * ended well.
 */
export function codeOf(execution: IExecution): number | undefined {
  const { ExitCode: code, ErrorMsg: error } = execution.RunOutput ?? {};
  return code === -1 && !error ? 0 : code;
}

/** The last line that a program wrote to stderr, as far as it was kept; empty without one. */
export function lastErrorLine(execution: IExecution | undefined): string {
  const lines = textOf(execution?.RunOutput?.stderr).split('\n');
  return (
    lines
      .map(line => line.trim())
      .filter(Boolean)
      .pop()
      ?.slice(0, 300) ?? ''
  );
}

function recordedCode(details: Details): number | null {
  const text = textOf(details[EXIT_CODE]);
  return /^-?\d{1,10}$/.test(text) ? Number(text) : null;
}

function milliseconds(nanoseconds: unknown): number | null {
  const number =
    typeof nanoseconds === 'string' && /^\d{1,19}$/.test(nanoseconds) ? Number(nanoseconds) : nanoseconds;
  return typeof number === 'number' && number > 0 ? number / 1e6 : null;
}

function detailsOf(job: IJob): Details {
  const details: unknown = job.State?.Details;
  return typeof details === 'object' && details !== null ? (details as Details) : {};
}

function textOf(value: unknown): string {
  return typeof value === 'string' ? value : '';
}
