import { IJob, JobStateName } from '../api/types';
import { IJobEntry, IState } from '../store/state';

export interface IFilter {
  /** Empty: all states. */
  readonly states: readonly JobStateName[];
  /** Words; each must be found in the job's id, name, engine, node, namespace, labels or message. `key=value` finds a label. */
  readonly text: string;
  /** Missing or empty: all namespaces. */
  readonly namespace?: string;
}

export const NO_FILTER: IFilter = { states: [], text: '' };

/** The ids of the jobs to show, in order. */
export function visible(state: IState, filter: IFilter): readonly string[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const { namespace } = filter;
  if (words.length === 0 && filter.states.length === 0 && !namespace) {
    return state.order;
  }
  const states = new Set<JobStateName>(filter.states);
  return state.order.filter(id => {
    const entry = state.jobs.get(id);
    return (
      entry !== undefined &&
      (states.size === 0 || states.has(entry.state)) &&
      (!namespace || namespaceOf(entry.job) === namespace) &&
      matches(entry, words)
    );
  });
}

/** The namespaces of all jobs, in the order of the alphabet. */
export function namespaces(state: IState): readonly string[] {
  const found = new Set<string>();
  state.jobs.forEach(entry => found.add(namespaceOf(entry.job)));
  return [...found].sort();
}

function namespaceOf(job: IJob): string {
  return job.Namespace || 'default';
}

function matches(entry: IJobEntry, words: readonly string[]): boolean {
  if (words.length === 0) {
    return true;
  }
  const text = searchable(entry);
  return words.every(word => text.includes(word));
}

const texts = new WeakMap<object, string>();

/** Computed once per job: with thousands of jobs, typing must stay quick. */
function searchable(entry: IJobEntry): string {
  let text = texts.get(entry.job);
  if (text === undefined) {
    const { job } = entry;
    const labels = Object.entries(job.Labels ?? {}).map(([key, value]) => `${key}=${value}`);
    const engines = (job.Tasks ?? []).map(task => task.Engine?.Type ?? '');
    text = [job.ID, job.Name, job.Namespace, job.Type, job.State?.Message, ...engines, ...labels]
      .join('\n')
      .toLowerCase();
    texts.set(entry.job, text);
  }
  return entry.node ? `${text}\n${entry.node.toLowerCase()}` : text;
}
