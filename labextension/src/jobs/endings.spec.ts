import { IStreamEvent, JobStateName } from '../api/types';
import { trans } from '../page/words';
import { entryOf, IJobEntry } from '../store/state';
import { Endings, endingText } from './endings';

const START = Date.parse('2026-01-01T00:00:00Z');
const ELSEWHERE = { hidden: false, jobsShown: false };

function event(state: JobStateName | '', afterMs: number, version = 0): IStreamEvent {
  const time = new Date(START + afterMs).toISOString();
  return { seq: 1, time, topic: '', message: '', job: 'j', job_version: version, state };
}

function entry(state: JobStateName): IJobEntry {
  return entryOf({ ID: 'j', CreateTime: START * 1e6, State: { StateType: state } });
}

describe('an ending', () => {
  it.each<JobStateName>(['Completed', 'Failed', 'Stopped'])('is told once: %s', state => {
    const endings = new Endings();
    expect(endings.take(event(state, 60_000), entry('Running'), ELSEWHERE)?.ms).toBe(60_000);
    expect(endings.take(event(state, 60_000), entry('Running'), ELSEWHERE)).toBeNull();
  });

  it('of the next version of a job is another one', () => {
    const endings = new Endings();
    endings.take(event('Failed', 60_000), entry('Running'), ELSEWHERE);
    expect(endings.take(event('Completed', 90_000, 1), entry('Running'), ELSEWHERE)).not.toBeNull();
  });

  it.each<JobStateName | ''>(['', 'Running', 'Queued', 'Pending'])('is none in the state %j', state =>
    expect(new Endings().take(event(state, 60_000), entry('Running'), ELSEWHERE)).toBeNull()
  );

  it('is not told of a job that nobody saw under way', () => {
    expect(new Endings().take(event('Completed', 60_000), undefined, ELSEWHERE)).toBeNull();
    expect(new Endings().take(event('Completed', 60_000), entry('Completed'), ELSEWHERE)).toBeNull();
  });

  it('is not told to whoever looks at the list, unless the page is behind others', () => {
    const take = (hidden: boolean, jobsShown: boolean): boolean =>
      new Endings().take(event('Failed', 60_000), entry('Running'), { hidden, jobsShown }) !== null;
    expect([take(false, true), take(true, true), take(false, false)]).toEqual([false, true, true]);
  });

  it('of a short job is told only behind another page', () => {
    const take = (hidden: boolean, ms: number): boolean =>
      new Endings().take(event('Failed', ms), entry('Running'), { hidden, jobsShown: false }) !== null;
    expect([take(false, 9_999), take(false, 10_000), take(true, 5)]).toEqual([false, true, true]);
  });
});

it.each<[JobStateName, Record<string, string>, string]>([
  ['Completed', {}, 'train: Completed'],
  ['Completed', { ExitCode: '1', Error: 'KeyError: k' }, 'train: ✕ exit 1, KeyError: k'],
  ['Completed', { ExitCode: '2' }, 'train: ✕ exit 2'],
  ['Failed', {}, 'train: ✕ Failed'],
  ['Stopped', { Error: 'x' }, 'train: Stopped']
])('a notice of %s %j says %j', (state, details, text) =>
  expect(endingText({ ...event(state, 0), details }, 'train', trans)).toBe(text)
);
