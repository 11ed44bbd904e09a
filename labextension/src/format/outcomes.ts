import { Outcome } from '../store/outcome';
import { stateLabel, stateSign } from './states';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** What a badge shows of a job: a sign and a word for people, and the official word where it is another one. */
export interface IBadge {
  readonly sign: string;
  readonly label: string;
  /** The official state; empty where the label says it. */
  readonly official: string;
}

export function badgeOf(
  entry: { state: string; outcome: Outcome; exitCode: number | null },
  trans: ITranslate
): IBadge {
  const state = stateLabel(trans, entry.state);
  if (entry.outcome === 'failed' && entry.exitCode) {
    return { sign: stateSign('Failed'), label: trans.__('exit %1', entry.exitCode), official: state };
  }
  return { sign: stateSign(entry.state), label: state, official: '' };
}

/** What a badge says to those who ask: its word, and the official one where that is another. */
export function officialTitle(label: string, official: string, trans: ITranslate): string | undefined {
  return official ? trans.__('%1; Bacalhau calls it %2', label, official) : undefined;
}

/** The name of an outcome in the reader's language. */
export function outcomeLabel(outcome: Outcome, trans: ITranslate): string {
  switch (outcome) {
    case 'waiting':
      return trans.__('Waiting');
    case 'running':
      return trans.__('Running');
    case 'succeeded':
      return trans.__('Succeeded');
    case 'failed':
      return trans.__('Failed');
    case 'stopped':
      return trans.__('Stopped');
  }
}
