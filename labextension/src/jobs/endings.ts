import { isOver, IStreamEvent } from '../api/types';
import { badgeOf } from '../format/outcomes';
import { readable } from '../format/text';
import { IJobEntry } from '../store/state';
import { codeOfEvent, outcomeOfEvent } from './unseen';

/** A job that took less is over before anybody looked elsewhere. */
const WORTH_TELLING_MS = 10_000;

/** Where the reader looks. */
export interface IView {
  /** Whether the page is behind others. */
  readonly hidden: boolean;
  /** Whether the list of jobs is on screen. */
  readonly jobsShown: boolean;
}

/** A job that has ended, and how long it took. */
export interface IEnding {
  readonly entry: IJobEntry;
  readonly ms: number;
}

/** Finds the endings of jobs that a reader who looks elsewhere wants to hear of, each once. */
export class Endings {
  private readonly seen = new Set<string>();

  /**
   * The ending that an event tells of; null where it tells of none, or of one that the reader knows anyway.
   * `entry` is what was known of the job before the event.
   */
  take(event: IStreamEvent, entry: IJobEntry | undefined, view: IView): IEnding | null {
    const key = `${event.job} ${event.job_version ?? 0}`;
    if (!isOver(event.state || undefined) || this.seen.has(key)) {
      return null;
    }
    this.seen.add(key);
    // Only what was seen under way: a replay must not tell of jobs that ended long ago.
    if (entry === undefined || isOver(entry.state) || (view.jobsShown && !view.hidden)) {
      return null;
    }
    const ms = Date.parse(event.time) - entry.created;
    return ms < WORTH_TELLING_MS && !view.hidden ? null : { entry, ms };
  }
}

/** What a notice says of an ending: `train: ✕ exit 1, ValueError: no`. */
export function endingText(
  event: IStreamEvent,
  name: string,
  trans: { __(text: string, ...args: unknown[]): string }
): string {
  const entry = { state: event.state ?? '', outcome: outcomeOfEvent(event), exitCode: codeOfEvent(event) };
  const { sign, label } = badgeOf(entry, trans);
  const error = entry.outcome === 'failed' ? readable(event.details?.Error ?? '') : '';
  const end = `${sign} ${label}`;
  return error
    ? trans.__('%1: %2, %3', name, end, error)
    : trans.__('%1: %2', name, entry.outcome === 'failed' ? end : label);
}
