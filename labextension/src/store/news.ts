import { IExecution, IJob, isOver, IStreamEvent, JobStateName } from '../api/types';
import { endOf } from './outcome';
import { IJobEntry } from './state';

/** How a piece of news is called that came without an event. */
const TOPIC = 'State';

/** What jobs, read again, tell of those that were known: an event each, as a cluster that pushes would have sent it. */
export function newsIn(known: ReadonlyMap<string, IJobEntry>, jobs: readonly IJob[]): IStreamEvent[] {
  return jobs.flatMap(job => {
    const before = known.get(job?.ID);
    const state = job?.State?.StateType;
    return before === undefined || state === undefined || isSame(before, job, state)
      ? []
      : [eventOf(job, state)];
  });
}

/** What an ending says of the outcome, in the words of our own nodes' events. */
export function endingOf(event: IStreamEvent, executions: readonly IExecution[]): Record<string, string> {
  const state = event.state || 'Undefined';
  const { exitCode, error } = endOf({ ID: event.job, State: { StateType: state } }, state, executions);
  return {
    ...(exitCode === null ? {} : { ExitCode: String(exitCode) }),
    ...(error ? { Error: error } : {})
  };
}

function isSame(before: IJobEntry, job: IJob, state: JobStateName): boolean {
  const version = job.Version ?? 0;
  return before.state === state && (before.job.Version ?? 0) === version
    ? true
    : // An older answer that was late says nothing new.
      isOver(before.state) && (before.job.Version ?? 0) >= version;
}

function eventOf(job: IJob, state: JobStateName): IStreamEvent {
  return {
    // A place in the stream's order, so that it counts; there is no stream that could be asked for what follows it.
    seq: 1,
    time: new Date((job.ModifyTime ?? 0) / 1e6).toISOString(),
    topic: TOPIC,
    message: job.State?.Message ?? '',
    job: job.ID,
    job_version: job.Version ?? 0,
    state
  };
}
