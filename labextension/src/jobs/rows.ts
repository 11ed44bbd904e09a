import { IJob } from '../api/types';
import { Outcome } from '../store/outcome';
import { IJobEntry } from '../store/state';
import { metaOf, rerunOf, TITLE } from './title';

/** A line of the list: a job, or several of one run of a cell under one heading. */
export type ListRow =
  | { readonly kind: 'job'; readonly id: string; readonly inside: boolean }
  | { readonly kind: 'group'; readonly key: string; readonly ids: readonly string[]; readonly open: boolean };

const keys = new WeakMap<IJob, string>();

/** Label that the jobs of one `map` or sweep have in common. */
const GROUP = 'bacalhau-group';

/** What the jobs of one run of a cell, or of one `map`, have in common; empty for a job that stands alone. */
export function groupKey(job: IJob): string {
  let key = keys.get(job);
  if (key === undefined) {
    const [title, cell] = [metaOf(job, TITLE), metaOf(job, 'jupyter.org/cell')];
    // A run again was asked for by itself: it has a row by itself.
    const of = cell ? `${metaOf(job, 'jupyter.org/session')}\n${cell}` : (job.Labels?.[GROUP] ?? '');
    key = title && of && !rerunOf(job) ? `${of}\n${title}` : '';
    keys.set(job, key);
  }
  return key;
}

/** The lines for these jobs, in their order. A group stands where its newest job is. */
export function rowsOf(
  ids: readonly string[],
  jobs: ReadonlyMap<string, IJobEntry>,
  open: ReadonlySet<string>
): readonly ListRow[] {
  const members = new Map<string, string[]>();
  const keyOf = (id: string): string => {
    const entry = jobs.get(id);
    return entry ? groupKey(entry.job) : '';
  };
  for (const id of ids) {
    const key = keyOf(id);
    if (key) {
      const list = members.get(key) ?? [];
      list.push(id);
      members.set(key, list);
    }
  }
  const rows: ListRow[] = [];
  for (const id of ids) {
    const key = keyOf(id);
    const list = key ? members.get(key) : undefined;
    if (list === undefined || list.length < 2) {
      rows.push({ kind: 'job', id, inside: false });
    } else if (list[0] === id) {
      rows.push({ kind: 'group', key, ids: list, open: open.has(key) });
      if (open.has(key)) {
        list.forEach(member => rows.push({ kind: 'job', id: member, inside: true }));
      }
    }
  }
  return rows;
}

/** What names a line among the others. */
export function rowKey(row: ListRow | undefined): string {
  return row === undefined ? '' : row.kind === 'job' ? row.id : `group ${row.key}`;
}

/** The jobs that a line stands for. */
export function idsOf(row: ListRow | undefined): readonly string[] {
  return row === undefined ? [] : row.kind === 'job' ? [row.id] : row.ids;
}

/** How many jobs of a group have each outcome; those that need somebody come first. */
export function tally(
  ids: readonly string[],
  jobs: ReadonlyMap<string, IJobEntry>
): readonly (readonly [Outcome, number])[] {
  const counts = new Map<Outcome, number>([
    ['failed', 0],
    ['running', 0],
    ['waiting', 0],
    ['stopped', 0],
    ['succeeded', 0]
  ]);
  for (const id of ids) {
    const outcome = jobs.get(id)?.outcome;
    if (outcome !== undefined) {
      counts.set(outcome, (counts.get(outcome) ?? 0) + 1);
    }
  }
  return [...counts].filter(([, count]) => count > 0);
}

/** The jobs that are picked after a click or a key: alone, added or taken away, or up to there. */
export function picked(
  rows: readonly ListRow[],
  before: ReadonlySet<string>,
  anchor: number,
  at: number,
  how: 'toggle' | 'range'
): ReadonlySet<string> {
  const ids = new Set(before);
  if (how === 'range') {
    const [from, to] = [Math.min(Math.max(0, anchor), at), Math.max(anchor, at)];
    rows.slice(from, to + 1).forEach(row => idsOf(row).forEach(id => ids.add(id)));
    return ids;
  }
  const these = idsOf(rows[at]);
  const all = these.every(id => ids.has(id));
  these.forEach(id => (all ? ids.delete(id) : ids.add(id)));
  return ids;
}
