import { ISubmission } from '../api/submissions';
import { adoptions, mayHaveJobs } from './adopt';
import { MANY_MIME, readMany } from '../many/record';
import { MIME, readRecord } from './record';

const submission = (job: string, cell = 'c'): ISubmission => ({
  job_id: job,
  endpoint: 'http://a',
  cell,
  title: 'q.ipynb [3]'
});
const card = (job: string): unknown => ({
  output_type: 'display_data',
  data: { [MIME]: { job_id: job, phase: 'x' } }
});
const text = { output_type: 'stream', name: 'stdout', text: 'x' };

const jobs = (outputs: readonly unknown[], ...submissions: ISubmission[]): unknown =>
  adoptions([{ id: 'c', outputs }], submissions).map(({ stale, cards }) => [
    outputs.length > 0 && stale.size === outputs.length,
    ...cards.map(one => readRecord(one.data[MIME])?.job)
  ]);

describe('a cell that lacks its job', () => {
  it('gets it', () => {
    expect(jobs([], submission('j-1'))).toEqual([[false, 'j-1']]);
    expect(jobs([], submission('j-1', 'other'))).toEqual([]);
  });

  it('gets all jobs of a loop, and of them only those that are missing', () => {
    expect(jobs([], submission('j-1'), submission('j-2'))).toEqual([[false, 'j-1', 'j-2']]);
    expect(jobs([card('j-1')], submission('j-1'), submission('j-2'))).toEqual([[false, 'j-2']]);
  });

  it('loses the card of an earlier run, and one that had no job yet', () => {
    expect(jobs([card('j-old'), text], submission('j-1'))).toEqual([[true, 'j-1']]);
    expect(jobs([card('')], submission('j-1'))).toEqual([[true, 'j-1']]);
  });

  it('keeps outputs that are not ours', () =>
    expect(jobs([text], submission('j-1'))).toEqual([[false, 'j-1']]));

  it('is live: its card has no state of its own, and shows the log', () => {
    const [adoption] = adoptions([{ id: 'c', outputs: [] }], [submission('j-1')]);
    expect(readRecord(adoption?.cards[0]?.data[MIME])).toMatchObject({ state: '', followed: true });
  });

  it('has its title at once', () => {
    const [card] = adoptions([{ id: 'c', outputs: [] }], [submission('j-1')])[0]?.cards ?? [];
    expect(readRecord(card?.data[MIME])).toMatchObject({ job: 'j-1', title: 'q.ipynb [3]' });
    expect(card?.data['text/plain']).toBe('q.ipynb [3] · job j-1');
  });
});

describe('a cell of many jobs', () => {
  const of = (job: string, label: string, group = 'g'): ISubmission => ({
    ...submission(job),
    group,
    what: 'calls',
    label
  });
  const many = (group: string, ...members: object[]): unknown => ({
    data: { [MANY_MIME]: { version: 1, group, what: 'calls', jobs: members } }
  });
  const adopted = (outputs: readonly unknown[], ...submissions: ISubmission[]): unknown =>
    adoptions([{ id: 'c', outputs }], submissions).map(({ stale, cards }) => [
      [...stale],
      ...cards.map(one => readMany(one.data[MANY_MIME])?.members.map(member => [member.label, member.job]))
    ]);

  it('gets one card for all of them', () =>
    expect(adopted([text], of('j-1', 'n=1'), of('j-2', 'n=2'))).toEqual([
      [
        [],
        [
          ['n=1', 'j-1'],
          ['n=2', 'j-2']
        ]
      ]
    ]));

  it('keeps its card where that has all jobs', () => {
    const whole = many('g', { label: 'n=1', job_id: 'j-1' }, { label: 'n=2' });
    expect(adopted([whole, text], of('j-1', 'n=1'))).toEqual([]);
  });

  it('has the jobs added that were submitted after the notebook was saved', () => {
    const early = many('g', { label: 'n=1', job_id: 'j-1' }, { label: 'n=2' }, { label: 'n=2' });
    expect(adopted([early, text], of('j-2', 'n=2'), of('j-3', 'n=2'), of('j-4', 'n=9'))).toEqual([
      [
        [0],
        [
          ['n=1', 'j-1'],
          ['n=2', 'j-2'],
          ['n=2', 'j-3'],
          ['n=9', 'j-4']
        ]
      ]
    ]);
  });

  it('loses the card of an earlier run, and one that had no jobs yet', () => {
    const expected = [[[0, 1], [['n=1', 'j-9']]]];
    expect(adopted([many('old', { label: 'n=1', job_id: 'j-1' }), text], of('j-9', 'n=1'))).toEqual(expected);
    expect(adopted([many('', { label: 'n=1' }), text], of('j-9', 'n=1'))).toEqual(expected);
  });
});

describe('a cell that lacks nothing', () => {
  it('stays as it is', () => {
    expect(jobs([card('j-1'), text], submission('j-1'))).toEqual([]);
    expect(jobs([text])).toEqual([]);
  });

  it('has no id, so that nothing belongs to it', () =>
    expect(adoptions([{ id: '', outputs: [] }], [submission('j-1', '')])).toEqual([]));

  it.each([null, 1, 'x', {}, { data: null }, { data: { [MIME]: 7 } }])('is not confused by %j', output =>
    expect(jobs([output, card('j-1')], submission('j-1'))).toEqual([])
  );
});

it('mayHaveJobs asks nobody for notebooks that never mention us', () => {
  expect(mayHaveJobs(['import pandas', ''])).toBe(false);
  expect(mayHaveJobs(['x', '%%bacalhau sh\ntrue'])).toBe(true);
});
