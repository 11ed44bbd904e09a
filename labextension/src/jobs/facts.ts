import { EXECUTION_STATES, IExecution, IJob, isOver } from '../api/types';
import { codeOf, isRecorded, lastErrorLine } from '../store/outcome';
import { IJobEntry } from '../store/state';

/**
 * Whether a row can be complete only after a request for the job's executions. Our own nodes note in the list what a
 * row shows; others don't.
 */
export function lacksFacts(entry: IJobEntry): boolean {
  const begun = entry.state === 'Running' || isOver(entry.state);
  return begun && entry.executions === null && !isRecorded(entry.job, entry.state);
}

/** How long a job ran and how long it waited before, in milliseconds; `ran` is null before it runs. */
export function times(entry: IJobEntry, now: number): { ran: number | null; waited: number } {
  const end = isOver(entry.state) ? entry.changed : now;
  const begun = entry.started ?? (isOver(entry.state) || entry.state === 'Running' ? entry.created : null);
  const ran = begun === null ? null : Math.max(0, end - begun);
  // A job that ended without having run has waited all the time.
  const never = entry.started === null && isOver(entry.state) && entry.outcome !== 'succeeded';
  return never && entry.exitCode === null
    ? { ran: null, waited: Math.max(0, end - entry.created) }
    : { ran, waited: Math.max(0, (begun ?? end) - entry.created) };
}

/** What a job asked for: `2 CPU · 4gb · 1 GPU`; empty when it asked for nothing. */
export function asked(job: IJob): string {
  const { CPU: cpu, Memory: memory, GPU: gpu } = job.Tasks?.[0]?.Resources ?? {};
  return [cpu && `${cpu} CPU`, memory, gpu && gpu !== '0' && `${gpu} GPU`].filter(Boolean).join(' · ');
}

/** Executions, newest first. */
export function newestFirst(executions: readonly IExecution[]): IExecution[] {
  return [...executions].sort((a, b) => (b.CreateTime ?? 0) - (a.CreateTime ?? 0));
}

/** The state of an execution by name; a number that no release knows is `Undefined`. */
export function executionState(execution: IExecution): (typeof EXECUTION_STATES)[number] {
  const stateType: unknown = execution.ComputeState?.StateType ?? 0;
  return (typeof stateType === 'number' ? EXECUTION_STATES[stateType] : undefined) ?? 'Undefined';
}

/** The exit code of an execution; null while it has none, and where a zero would say nothing. */
export function exitOf(execution: IExecution): number | null {
  const code = codeOf(execution);
  return code !== undefined && (executionState(execution) === 'Completed' || code !== 0) ? code : null;
}

/** What ran an execution, with its version; empty where its node does not tell. */
export function runtimeOf(execution: IExecution): string {
  const name: unknown = execution.ComputeState?.Details?.Runtime;
  return typeof name === 'string' ? name : '';
}

/** Whether nothing more happens to an execution. */
export function hasEnded(execution: IExecution): boolean {
  return ENDS.has(executionState(execution));
}

const ENDS: ReadonlySet<string> = new Set([
  'AskForBidRejected',
  'BidRejected',
  'Completed',
  'Failed',
  'Cancelled'
]);

/** Whether the node turned an execution down. */
export function isRefused(execution: IExecution): boolean {
  return executionState(execution) === 'AskForBidRejected';
}

/** Whether it did so because it had no room just then. */
export function lacksRoom(execution: IExecution): boolean {
  const { Details: details, Message: message } = execution.ComputeState ?? {};
  const marked = details?.Capacity === 'true' || details?.Retryable === 'true';
  return isRefused(execution) && (marked || (message ?? '').toLowerCase().includes('enough capacity'));
}

/** How long an execution took, or takes so far, in milliseconds. */
export function tookMs(execution: IExecution, now: number): number {
  const begun = (execution.CreateTime ?? 0) / 1e6;
  const end = hasEnded(execution) ? (execution.ModifyTime ?? 0) / 1e6 : now;
  return begun > 0 ? Math.max(0, end - begun) : 0;
}

/** How an execution stands: a sign and a word; a wrong exit code is a failure, whatever the official word. */
export function endOfExecution(
  execution: IExecution,
  trans: { __(text: string, ...args: unknown[]): string }
): { sign: string; label: string; failed: boolean } {
  const state = executionState(execution);
  const code = exitOf(execution) ?? 0;
  const failed = state === 'Failed' || code !== 0;
  const sign = failed ? '✕' : (EXECUTION_SIGNS.get(state) ?? '○');
  // An execution whose bid was accepted is at work: its node says so in the message.
  const word =
    state === 'BidAccepted' ? trans.__('Running') : isRefused(execution) ? trans.__('refused') : state;
  return { sign, label: code !== 0 && state === 'Completed' ? trans.__('exit %1', code) : word, failed };
}

const EXECUTION_SIGNS = new Map([
  ['Completed', '✓'],
  ['BidAccepted', '▶'],
  ['Running', '▶'],
  ['Publishing', '▶'],
  ['Cancelled', '■']
]);

/** What to say of how an execution ended: its error, else the last line that its program wrote to stderr. */
export function messageOf(execution: IExecution): string {
  const state = executionState(execution);
  const message = execution.ComputeState?.Message ?? '';
  // The message of a step that went well stays from the step before.
  const said =
    state === 'Completed' || message === 'Running'
      ? ''
      : isRefused(execution)
        ? message.replace(/^rejected bid: /, '')
        : message;
  return execution.RunOutput?.ErrorMsg || (exitOf(execution) ? lastErrorLine(execution) : '') || said;
}
