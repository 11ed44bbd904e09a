import { IHistoryItem } from '../api/types';
import { inOrder, phasesOf, sinceFirst, timeOf } from './phases';

const START = Date.parse('2026-01-01T00:00:00Z');
const at = (seconds: number): string => new Date(START + 1000 * seconds).toISOString();
const event = (
  seq: number,
  happened: number,
  stored: number,
  Topic: string,
  NewState = ''
): IHistoryItem => ({
  SeqNum: seq,
  Time: at(stored),
  Event: { Topic, Timestamp: at(happened), Details: NewState ? { NewState } : undefined }
});
/** As the node stores them: what the compute side reports comes at the end, in one go. */
const LIFE = [
  event(1, 0, 0, 'Submission'),
  event(2, 2, 2, 'State Update', 'Running'),
  event(3, 7, 20, 'Downloading Inputs'),
  {
    ...event(4, 19.5, 20, 'Execution'),
    Event: { Topic: 'Execution', Timestamp: at(19.5), Details: { Started: at(8), Exited: at(18) } }
  },
  event(5, 20, 20, 'State Update', 'Completed')
];

describe('the times of a job', () => {
  it('are those at which things happened, not those at which they were reported', () => {
    expect(LIFE.map(item => sinceFirst(LIFE, item) / 1000)).toEqual([0, 2, 7, 19.5, 20]);
    expect(inOrder([...LIFE].reverse())).toEqual(LIFE);
  });

  it('fall back to the time of storing', () => {
    expect(timeOf({ Time: at(3) })).toBe(START + 3000);
    expect(timeOf({ Time: at(3), Event: { Timestamp: '0001-01-01T00:00:00Z' } })).toBe(START + 3000);
    expect(sinceFirst([LIFE[0] as IHistoryItem], {})).toBeNaN();
    expect(sinceFirst([], {})).toBeNaN();
  });
});

describe('the phases of a job', () => {
  it('are in order, each with its own duration', () => {
    expect(phasesOf(LIFE).map(({ kind, ms }) => `${kind} ${ms / 1000}`)).toEqual([
      'waiting 2',
      'inputs 5',
      'starting 1',
      'running 10',
      'publishing 2'
    ]);
  });

  it('of a job without inputs, from a node that tells no more', () => {
    const plain = [LIFE[0], LIFE[1], LIFE[4]] as IHistoryItem[];
    expect(phasesOf(plain).map(({ kind, ms }) => `${kind} ${ms / 1000}`)).toEqual([
      'waiting 2',
      'running 18'
    ]);
  });

  it('of a job that never ran are waiting alone, and of none nothing', () => {
    const failed = [LIFE[0] as IHistoryItem, event(2, 4, 4, 'State Update', 'Failed')];
    expect(phasesOf(failed)).toEqual([{ kind: 'waiting', ms: 4000 }]);
    expect(phasesOf([])).toEqual([]);
  });
});
