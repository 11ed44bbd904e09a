import { IHistoryItem } from '../api/types';
import { badgeOf } from '../format/outcomes';
import { IJobEntry } from '../store/state';
import { exitOf } from './facts';

/** What the timeline says of an event. */
export interface ISaid {
  readonly text: string;
  /** The wire's own words, as a tooltip, where the text differs. */
  readonly official: string;
  readonly failed: boolean;
}

type Ending = Pick<IJobEntry, 'job' | 'state' | 'outcome' | 'exitCode' | 'executions'>;

const OWNER = 'owner';
const EXECUTION_IS_OVER = 'Completed successfully';

/**
 * An event in words that agree with the outcome: to the wire a program that ended is `Completed`, whatever its exit
 * code was.
 */
export function saidOf(
  item: IHistoryItem,
  entry: Ending,
  trans: { __(text: string, ...args: unknown[]): string }
): ISaid {
  const { Message: message = '', Details: details } = item.Event ?? {};
  const runtime = message === EXECUTION_IS_OVER ? details?.Runtime : '';
  const plain = {
    text: runtime ? `${message} (${runtime})` : message,
    official: '',
    failed: details?.IsError === 'true'
  };
  const ofJob = details?.NewState === 'Completed' && entry.state === 'Completed';
  const code = ofJob ? entry.exitCode : message === EXECUTION_IS_OVER ? codeOf(item, entry) : null;
  if (!code) {
    return plain;
  }
  const { sign, label } = badgeOf({ state: 'Completed', outcome: 'failed', exitCode: code }, trans);
  return { text: `${sign} ${label}`, official: message, failed: true };
}

/**
 * Who caused an event of the job: empty where only the owner of the node acts, who knows that, and for what nodes report
 * of executions.
 */
export function actorOf(item: IHistoryItem, items: readonly IHistoryItem[]): string {
  const several = items.some(other => !['', OWNER].includes(named(other)));
  return several ? named(item) : '';
}

function named(item: IHistoryItem): string {
  return item.ExecutionID ? '' : (item.Event?.Details?.Principal ?? '');
}

/** The exit code of the execution that an event tells of. */
function codeOf(item: IHistoryItem, entry: Ending): number | null {
  const execution = entry.executions?.find(known => known.ID === item.ExecutionID);
  if (execution) {
    return exitOf(execution);
  }
  // A job of one execution ended as that did; of several nobody knows which until they are read.
  return (entry.job.Count ?? 1) <= 1 && entry.state === 'Completed' ? entry.exitCode : null;
}
