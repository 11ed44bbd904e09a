import { IStreamEvent, JobStateName } from '../api/types';
import { outcomeOfEvent, Unseen } from './unseen';

const event = (job: string, state: JobStateName, ExitCode?: string, execution = ''): IStreamEvent => ({
  seq: 1,
  time: '',
  topic: '',
  message: '',
  job,
  state,
  execution,
  details: ExitCode === undefined ? {} : { ExitCode }
});

it.each<[JobStateName, string | undefined, string]>([
  ['Completed', '1', 'failed'],
  ['Completed', '0', 'succeeded'],
  ['Completed', 'x', 'succeeded'],
  ['Failed', undefined, 'failed'],
  ['Stopped', '137', 'stopped']
])('an event with %s and exit code %s tells of: %s', (state, code, outcome) =>
  expect(outcomeOfEvent(event('j', state, code))).toBe(outcome)
);

describe('failures that nobody has seen', () => {
  it('are counted once for each job, until somebody looks', () => {
    const unseen = new Unseen();
    expect(unseen.take(event('a', 'Completed', '1'), false)).toBe(true);
    expect(unseen.take(event('a', 'Completed', '1'), false)).toBe(false);
    unseen.take(event('b', 'Failed'), false);
    expect([unseen.count, unseen.clear(), unseen.count, unseen.clear()]).toEqual([2, true, 0, false]);
  });

  it('are none of those that somebody sees, that went well, or that only an execution tells of', () => {
    const unseen = new Unseen();
    unseen.take(event('a', 'Failed'), true);
    unseen.take(event('b', 'Completed', '0'), false);
    unseen.take(event('c', 'Completed', '1', 'e-1'), false);
    expect(unseen.count).toBe(0);
  });
});
