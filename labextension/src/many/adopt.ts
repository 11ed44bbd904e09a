import { ISubmission } from '../api/submissions';
import { IManyRecord, MANY_MIME, readMany } from './record';

/** An output as a notebook's file has it. */
interface IDisplay {
  readonly output_type: 'display_data';
  readonly data: Record<string, unknown>;
  readonly metadata: Record<string, never>;
}

/** The record of an output that is the card of many jobs; null for every other output. */
export function groupOf(output: unknown): IManyRecord | null {
  const data = (output as { data?: unknown } | null)?.data;
  return typeof data === 'object' && data !== null
    ? readMany((data as Record<string, unknown>)[MANY_MIME])
    : null;
}

/**
 * The card of a group whose jobs were submitted: the one that is there with the jobs that it lacks, else a new one; null
 * where it lacks none.
 */
export function groupCard(submissions: readonly ISubmission[], present: IManyRecord | null): IDisplay | null {
  const known = new Set(present?.members.map(member => member.job));
  const waiting = submissions.filter(one => !known.has(one.job_id));
  const first = submissions[0];
  if (first === undefined || waiting.length === 0) {
    return null;
  }
  const jobs = (present?.members ?? []).map(({ label, job }) => {
    const at = job ? -1 : waiting.findIndex(one => one.label === label);
    const [taken] = at < 0 ? [] : waiting.splice(at, 1);
    return { label, job_id: taken?.job_id ?? job };
  });
  jobs.push(...waiting.map(one => ({ label: one.label ?? '', job_id: one.job_id })));
  const { group = '', what = '', endpoint } = first;
  const record = { version: 1, group, what, endpoint, phase: '', jobs };
  return {
    output_type: 'display_data',
    data: { [MANY_MIME]: record, 'text/plain': `${jobs.length} jobs` },
    metadata: {}
  };
}
