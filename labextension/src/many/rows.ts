import { isOver } from '../api/types';
import { Outcome, OUTCOMES } from '../store/outcome';
import { IJobEntry } from '../store/state';
import { IMember } from './record';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** A line of the table: a job as the cluster says it, else as it was stored. */
export interface IManyRow {
  readonly label: string;
  readonly job: string;
  readonly outcome: Outcome;
  readonly exitCode: number | null;
  /** How long it ran; null where that is unknown, or goes on. */
  readonly durationMs: number | null;
  readonly error: string;
  /** Whether the cluster said so, and knows it under this id. */
  readonly isKnown: boolean;
}

export function rowsOf(members: readonly IMember[], jobs: ReadonlyMap<string, IJobEntry>): IManyRow[] {
  return members.map(member => {
    const entry = member.job ? jobs.get(member.job) : undefined;
    if (entry === undefined) {
      const { label, job, durationMs, error, exitCode } = member;
      return {
        label,
        job,
        durationMs,
        error,
        exitCode,
        outcome: member.outcome ?? 'waiting',
        isKnown: false
      };
    }
    const over = isOver(entry.state);
    const ran = over && entry.started !== null ? entry.changed - entry.started : null;
    const why = entry.error || (entry.outcome === 'failed' ? entry.job.State?.Message || member.error : '');
    return {
      label: member.label,
      job: member.job,
      outcome: entry.outcome,
      exitCode: entry.exitCode,
      durationMs: over ? (ran ?? member.durationMs) : null,
      error: over ? why : '',
      isKnown: true
    };
  });
}

export function isDone(row: { outcome: Outcome }): boolean {
  return row.outcome !== 'waiting' && row.outcome !== 'running';
}

/** Whether the cluster has to be asked: the record leaves open how a job ended. */
export function isOpen(members: readonly IMember[]): boolean {
  return members.some(one => one.outcome === null || one.outcome === 'running' || one.outcome === 'waiting');
}

/** `7 of 12 done, 1 failed, 2 running`. Failed, stopped and refused ones are done, too. */
export function countsText(
  rows: readonly { outcome: Outcome; refused?: boolean }[],
  trans: ITranslate
): string {
  const counts = new Map<Outcome, number>(OUTCOMES.map(outcome => [outcome, 0]));
  const refused = rows.filter(row => row.refused).length;
  rows
    .filter(row => !row.refused)
    .forEach(row => counts.set(row.outcome, (counts.get(row.outcome) ?? 0) + 1));
  const count = (outcome: Outcome): number => counts.get(outcome) ?? 0;
  const parts = [trans.__('%1 of %2 done', rows.filter(isDone).length, rows.length)];
  if (count('failed')) {
    parts.push(trans.__('%1 failed', count('failed')));
  }
  if (count('stopped')) {
    parts.push(trans.__('%1 stopped', count('stopped')));
  }
  if (refused) {
    parts.push(trans.__('%1 refused', refused));
  }
  if (count('running')) {
    parts.push(trans.__('%1 running', count('running')));
  }
  if (count('waiting')) {
    parts.push(trans.__('%1 waiting', count('waiting')));
  }
  return parts.join(', ');
}
