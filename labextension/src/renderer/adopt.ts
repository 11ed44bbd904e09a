import { ISubmission } from '../api/submissions';
import { shortId } from '../format/units';
import { groupCard, groupOf } from '../many/adopt';
import { MIME, readRecord } from './record';

/** What a cell holds when its notebook is opened. */
export interface ICellContent {
  readonly id: string;
  /** Its outputs, as the notebook's file has them. */
  readonly outputs: readonly unknown[];
}

/** An output as a notebook's file has it. */
export interface IDisplay {
  readonly output_type: 'display_data';
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, never>;
}

/** What is to be put into a cell. */
export interface IAdoption {
  readonly cell: string;
  /** Which of its outputs go: those of an earlier run, and a card that a more complete one replaces. */
  readonly stale: ReadonlySet<number>;
  readonly cards: readonly IDisplay[];
}

/** Whether a notebook may have submitted jobs at all: else nobody is asked. */
export function mayHaveJobs(sources: readonly string[]): boolean {
  return sources.some(source => source.includes('bacalhau'));
}

/**
 * The cards that cells lack, because their notebook was not saved after they had submitted a job. A cell that has an
 * output of Bacalhau's, but none of these jobs, was run again since.
 */
export function adoptions(
  cells: readonly ICellContent[],
  submissions: readonly ISubmission[]
): readonly IAdoption[] {
  return cells.flatMap(cell => {
    const own = cell.id ? submissions.filter(one => one.cell === cell.id) : [];
    const [single, grouped] = [own.filter(one => !one.group), own.filter(one => one.group)];
    const jobs = cell.outputs.map(jobOf);
    const groups = cell.outputs.map(groupOf);
    const missing = single.filter(one => !jobs.includes(one.job_id));
    const changes = [...new Set(grouped.map(one => one.group ?? ''))].flatMap(group => {
      const index = groups.findIndex(present => present?.group === group);
      const card = groupCard(
        grouped.filter(one => one.group === group),
        groups[index] ?? null
      );
      return card === null ? [] : [{ index, card }];
    });
    if (missing.length === 0 && changes.length === 0) {
      return [];
    }
    const isCurrent = own.some(
      one =>
        jobs.includes(one.job_id) || groups.some(present => present?.group && present.group === one.group)
    );
    const isOurs = (index: number): boolean => jobs[index] !== null || groups[index] !== null;
    const numbers = cell.outputs.map((_, index) => index);
    const replaced = changes.map(change => change.index).filter(index => index >= 0);
    // A cell that was run again since has nothing of this run, so all that is there is older.
    const stale = !isCurrent && numbers.some(isOurs) ? numbers : replaced;
    const cards = [...missing.map(cardOf), ...changes.map(change => change.card)];
    return [{ cell: cell.id, stale: new Set(stale), cards }];
  });
}

/** The job of an output; empty for a card that had none yet, null for an output that is no card. */
function jobOf(output: unknown): string | null {
  const data = (output as { data?: unknown } | null)?.data;
  return typeof data === 'object' && data !== null
    ? (readRecord((data as Record<string, unknown>)[MIME])?.job ?? null)
    : null;
}

/** A card that knows its job's id and title: the cluster says the rest. */
function cardOf(submission: ISubmission): IDisplay {
  const line = [submission.title, `job ${shortId(submission.job_id)}`].filter(Boolean).join(' · ');
  const record = {
    version: 1,
    job_id: submission.job_id,
    title: submission.title,
    endpoint: submission.endpoint,
    state: '',
    phase: '',
    followed: true
  };
  // Ids come from the kernel's own record; all the same nothing is put into HTML that was not put there by the kernel.
  return { output_type: 'display_data', data: { [MIME]: record, 'text/plain': line }, metadata: {} };
}
