import { IHistoryItem } from '../api/types';

/** A part of a job's life, in order, and how long it took in milliseconds. */
export interface IPhase {
  readonly kind: 'waiting' | 'inputs' | 'starting' | 'running' | 'publishing';
  readonly ms: number;
}

/** When something happened, as the node says that did it; reports arrive later, and together. */
export function timeOf(item: IHistoryItem): number {
  const reported = Date.parse(item.Event?.Timestamp ?? '');
  // A time that was never set is written as year 1.
  return Number.isFinite(reported) && reported > 0 ? reported : Date.parse(item.Time ?? '');
}

/** Events in the order in which they happened. */
export function inOrder(items: readonly IHistoryItem[]): IHistoryItem[] {
  return [...items].sort((a, b) => {
    const difference = timeOf(a) - timeOf(b);
    return Number.isFinite(difference) && difference !== 0 ? difference : (a.SeqNum ?? 0) - (b.SeqNum ?? 0);
  });
}

/** Milliseconds between the first event of a job and this one; NaN where a time is missing. */
export function sinceFirst(items: readonly IHistoryItem[], item: IHistoryItem): number {
  return Math.max(0, timeOf(item) - (items[0] ? timeOf(items[0]) : NaN));
}

/** The parts of a job's life, as far as its events tell them: inputs are fetched before the program runs. */
export function phasesOf(items: readonly IHistoryItem[]): IPhase[] {
  const events = inOrder(items);
  const when = (fits: (item: IHistoryItem) => boolean): number | undefined => {
    const event = events.find(fits);
    return event && timeOf(event);
  };
  const isTopic = (topic: string) => (item: IHistoryItem) => item.Event?.Topic === topic;
  const enters = (state: string) => (item: IHistoryItem) => item.Event?.Details?.NewState === state;
  const submitted = events[0] && timeOf(events[0]);
  const accepted = when(enters('Running'));
  const over = when(item => ['Completed', 'Failed', 'Stopped'].some(state => enters(state)(item)));
  const fetched = when(isTopic('Downloading Inputs'));
  const last = (name: string): number | undefined => {
    const times = events.map(item => Date.parse(item.Event?.Details?.[name] ?? '')).filter(Number.isFinite);
    return times.pop();
  };
  const [started, exited] = [last('Started'), last('Exited')];
  const begun = started ?? (accepted === undefined ? undefined : Math.max(accepted, fetched ?? accepted));
  const phases: IPhase[] = [];
  const add = (kind: IPhase['kind'], from: number | undefined, to: number | undefined): void => {
    if (from !== undefined && to !== undefined && to >= from) {
      phases.push({ kind, ms: to - from });
    }
  };
  add('waiting', submitted, accepted ?? over);
  add('inputs', accepted, fetched);
  if (started !== undefined) {
    add('starting', fetched ?? accepted, started);
  }
  add('running', begun, exited ?? over);
  add('publishing', exited, over);
  return phases;
}
