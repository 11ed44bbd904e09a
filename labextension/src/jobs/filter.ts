import { IJob } from '../api/types';
import { Outcome } from '../store/outcome';
import { IJobEntry, IState } from '../store/state';
import { metaOf, notebookOf, TITLE, titleOf } from './title';

export interface IFilter {
  /** Empty: all outcomes. */
  readonly outcomes: readonly Outcome[];
  /**
   * Words; each must be found in the job's id, name, title, notebook, engine, node, namespace, labels, message or error.
   * `key=value` finds a label.
   */
  readonly text: string;
  /** Missing or empty: all namespaces. */
  readonly namespace?: string;
  /** The file name of a notebook; missing or empty: all jobs. */
  readonly notebook?: string;
}

export const NO_FILTER: IFilter = { outcomes: [], text: '' };

/** The ids of the jobs to show, in order. */
export function visible(state: IState, filter: IFilter): readonly string[] {
  const words = filter.text.toLowerCase().split(/\s+/).filter(Boolean);
  const { namespace, notebook } = filter;
  if (words.length === 0 && filter.outcomes.length === 0 && !namespace && !notebook) {
    return state.order;
  }
  const outcomes = new Set<Outcome>(filter.outcomes);
  return state.order.filter(id => {
    const entry = state.jobs.get(id);
    return (
      entry !== undefined &&
      (outcomes.size === 0 || outcomes.has(entry.outcome)) &&
      (!namespace || namespaceOf(entry.job) === namespace) &&
      (!notebook || notebookOf(entry.job) === notebook) &&
      matches(entry, words)
    );
  });
}

/** The namespaces of all jobs, in the order of the alphabet. */
export function namespaces(state: IState): readonly string[] {
  return all(state, namespaceOf);
}

/** The notebooks that jobs come from, in the order of the alphabet. */
export function notebooks(state: IState): readonly string[] {
  return all(state, notebookOf).filter(name => name !== '');
}

function all(state: IState, of: (job: IJob) => string): readonly string[] {
  const names = new Set<string>();
  state.jobs.forEach(entry => names.add(of(entry.job)));
  return [...names].sort();
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
    const names = [job.ID, job.Name, titleOf(job), metaOf(job, TITLE), notebookOf(job), job.Namespace];
    text = [...names, job.Type, job.State?.Message, ...engines, ...labels].join('\n').toLowerCase();
    texts.set(entry.job, text);
  }
  return `${text}\n${entry.node.toLowerCase()}\n${entry.error.toLowerCase()}`;
}

/** `12 jobs`, or `3 of 12 jobs` where the list is narrowed. */
export function countText(
  shown: number,
  total: number,
  trans: { __(text: string, ...args: unknown[]): string }
): string {
  if (shown !== total) {
    return total === 1 ? trans.__('%1 of 1 job', shown) : trans.__('%1 of %2 jobs', shown, total);
  }
  return total === 1 ? trans.__('1 job') : trans.__('%1 jobs', total);
}
