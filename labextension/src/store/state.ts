import { IExecution, IJob, INodeState, isOver, IStreamEvent, JobStateName } from '../api/types';
import { hostOf, share } from '../format/units';
import { endOf, IEnd, recordedNode, withState } from './outcome';

/** The topic of the event that tells that a job was deleted (an addition of ours). */
export const DELETION = 'Deletion';

/** What is known about one job: what a list says, and what events added since. */
export interface IJobEntry extends IEnd {
  readonly id: string;
  readonly job: IJob;
  readonly state: JobStateName;
  /** Milliseconds since the epoch. */
  readonly created: number;
  readonly changed: number;
  /** Node of the newest execution; empty while unknown. */
  readonly node: string;
  /** What is going on, in the words of the state line; empty when the state says it all. */
  readonly phase: string;
  /** Executions, once somebody asked for them. */
  readonly executions: readonly IExecution[] | null;
}

/** Everything the panel shows. Never changed in place. */
export interface IState {
  readonly jobs: ReadonlyMap<string, IJobEntry>;
  /** Newest first. */
  readonly order: readonly string[];
  /** Whether the list goes back to the first job. */
  readonly complete: boolean;
  readonly nodes: ReadonlyMap<string, INodeState>;
}

export type Action =
  | { type: 'jobs'; jobs: readonly IJob[]; complete?: boolean }
  | { type: 'event'; event: IStreamEvent }
  | { type: 'executions'; job: string; executions: readonly IExecution[] }
  | { type: 'gone'; jobs: readonly string[] }
  | { type: 'nodes'; nodes: readonly INodeState[] }
  | { type: 'reset' };

export const EMPTY: IState = { jobs: new Map(), order: [], complete: false, nodes: new Map() };

/** Take a batch into account. One copy for the whole batch: a burst of events costs as much as one. */
export function reduce(state: IState, actions: readonly Action[]): IState {
  if (actions.length === 0) {
    return state;
  }
  const draft = new Draft(state);
  for (const action of actions) {
    draft.take(action);
  }
  return draft.finish();
}

class Draft {
  private jobs: Map<string, IJobEntry> | null = null;
  private nodes: ReadonlyMap<string, INodeState>;
  private complete: boolean;
  private reorder = false;

  constructor(private readonly before: IState) {
    this.nodes = before.nodes;
    this.complete = before.complete;
  }

  take(action: Action): void {
    switch (action.type) {
      case 'jobs':
        action.jobs.forEach(job => this.put(job));
        this.complete = action.complete ?? this.complete;
        break;
      case 'event':
        this.saw(action.event);
        break;
      case 'executions':
        this.change(action.job, entry => ({
          ...entry,
          ...endOf(entry.job, entry.state, action.executions),
          executions: action.executions,
          node: newestNode(action.executions) || entry.node
        }));
        break;
      case 'gone':
        for (const id of action.jobs) {
          if (this.read().has(id)) {
            this.write().delete(id);
            this.reorder = true;
          }
        }
        break;
      case 'nodes':
        // One that does not say which node it is must not take the others with it.
        this.nodes = new Map(
          action.nodes.flatMap(node =>
            typeof node?.Info?.NodeID === 'string' ? [[node.Info.NodeID, node]] : []
          )
        );
        break;
      case 'reset':
        this.jobs = new Map();
        this.nodes = new Map();
        this.complete = false;
        this.reorder = true;
        break;
    }
  }

  finish(): IState {
    const { before } = this;
    if (this.jobs === null && this.nodes === before.nodes && this.complete === before.complete) {
      return before;
    }
    const jobs = this.jobs ?? before.jobs;
    return {
      jobs,
      order: this.reorder ? newestFirst(jobs) : before.order,
      complete: this.complete,
      nodes: this.nodes
    };
  }

  private read(): ReadonlyMap<string, IJobEntry> {
    return this.jobs ?? this.before.jobs;
  }

  private write(): Map<string, IJobEntry> {
    this.jobs = this.jobs ?? new Map(this.before.jobs);
    return this.jobs;
  }

  private put(job: IJob): void {
    if (!job || typeof job.ID !== 'string') {
      return;
    }
    const old = this.read().get(job.ID);
    const entry = entryOf(job, old);
    if (old === undefined || old.created !== entry.created) {
      this.reorder = true;
    }
    this.write().set(job.ID, entry);
  }

  private saw(event: IStreamEvent): void {
    if (event.topic === DELETION) {
      this.take({ type: 'gone', jobs: [event.job] });
      return;
    }
    this.change(event.job, entry => applyEvent(entry, event));
  }

  private change(id: string, make: (entry: IJobEntry) => IJobEntry): void {
    const entry = this.read().get(id);
    if (entry !== undefined) {
      const changed = make(entry);
      if (changed !== entry) {
        this.write().set(id, changed);
      }
    }
  }
}

/** Make an entry of a job, keeping what events told about it. */
export function entryOf(job: IJob, old?: IJobEntry): IJobEntry {
  const changed = (job.ModifyTime ?? 0) / 1e6;
  if (old !== undefined && old.changed > changed + CLOCK_STEP_MS) {
    // The list was read before the last event that we know of.
    return { ...old, job: { ...job, State: old.job.State } };
  }
  const state = job.State?.StateType ?? 'Undefined';
  const version = job.Version ?? 0;
  const same = old !== undefined && (old.job.Version ?? 0) === version;
  const executions = same ? old.executions : null;
  return {
    ...endOf(job, state, executions),
    id: job.ID,
    job,
    state,
    created: (job.CreateTime ?? 0) / 1e6,
    changed,
    node: recordedNode(job) || old?.node || '',
    phase: same && !isOver(state) ? old.phase : '',
    executions
  };
}

/** A nanosecond time as a JavaScript number is off by less than this. */
const CLOCK_STEP_MS = 0.01;

function applyEvent(entry: IJobEntry, event: IStreamEvent): IJobEntry {
  const time = Date.parse(event.time);
  // Passing events have no place in the order and say nothing about the state.
  if (event.seq === 0) {
    const phase = phaseOf(event) || entry.phase;
    return isOver(entry.state) || phase === entry.phase ? entry : { ...entry, phase: phase };
  }
  // Dates have milliseconds; within the same one the stream's own order counts.
  if (Number.isFinite(time) && time + 1 < entry.changed) {
    return entry;
  }
  const state = event.state || entry.state;
  const phase = isOver(state) ? '' : phaseOf(event) || entry.phase;
  const changed = Number.isFinite(time) ? Math.max(time, entry.changed) : entry.changed;
  const isNews = state !== entry.state || event.details?.Outcome !== undefined;
  const job = isNews ? withState(entry.job, state, event.details, time) : entry.job;
  // Whatever was read about executions is out of date now.
  const executions = event.execution || state !== entry.state ? null : entry.executions;
  return {
    ...entry,
    ...(job === entry.job ? {} : endOf(job, state, null)),
    state,
    phase,
    changed,
    node: event.node || recordedNode(job) || entry.node,
    job,
    executions
  };
}

/** Turn an event into the words of the state line; empty when it says nothing new. */
export function phaseOf(event: IStreamEvent): string {
  const { Phase: phase, Done: done, Total: total, Note: note } = event.details ?? {};
  if (phase) {
    // How fast it goes, or why it does not: "gpu1 does not answer since 14:03".
    const remark = note ? `, ${note}` : '';
    const [size, all] = [Number(done ?? NaN), Number(total ?? NaN)];
    if (!(all > 0 && size >= 0)) {
      // A row has room for little more than the remark.
      return note && phase === 'running' ? note : `${phase}${remark}`;
    }
    // What goes over a network has a size that people know: an image, their data.
    return hostOf(event.node ?? '')
      ? `${phase} ${share(size, all)}${remark}`
      : `${phase} ${Math.floor((100 * size) / all)} %${remark}`;
  }
  if (event.topic === 'Queueing') {
    return (event.message ?? '').replace(/^Job queued\. /, '').split('\n')[0] ?? '';
  }
  if (event.topic === 'Scheduling' && event.execution) {
    const again = event.details?.Again;
    return again ? `asking for bids, to begin again: ${again}` : 'asking for bids';
  }
  return event.topic === 'Execution' && event.message === 'Running' ? 'running' : '';
}

/** The node of the newest execution that counts. */
export function newestNode(executions: readonly IExecution[]): string {
  let newest: IExecution | undefined;
  for (const execution of executions) {
    if (newest === undefined || (execution.CreateTime ?? 0) >= (newest.CreateTime ?? 0)) {
      newest = execution;
    }
  }
  return newest?.NodeID ?? '';
}

/** The exit code to tell of; 0 while it is unknown. */
export function exitCode(entry: IJobEntry): number {
  return entry.exitCode ?? 0;
}

function newestFirst(jobs: ReadonlyMap<string, IJobEntry>): string[] {
  const entries = [...jobs.values()];
  entries.sort((a, b) => b.created - a.created || (a.id < b.id ? -1 : 1));
  return entries.map(entry => entry.id);
}

/** How many jobs run and how many wait. */
export function count(state: IState): { running: number; queued: number } {
  let running = 0;
  let queued = 0;
  for (const entry of state.jobs.values()) {
    running += entry.state === 'Running' ? 1 : 0;
    queued += entry.state === 'Pending' || entry.state === 'Queued' ? 1 : 0;
  }
  return { running, queued };
}
