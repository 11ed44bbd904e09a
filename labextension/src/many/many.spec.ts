import { Api } from '../api/client';
import { ApiError } from '../api/errors';
import { IJob } from '../api/types';
import { trans } from '../page/words';
import { OUTCOMES } from '../store/outcome';
import { entryOf } from '../store/state';
import { lookUpGroup } from './ask';
import { reasonOf } from './reason';
import { IManyRecord, readMany } from './record';
import { countsText, isOpen, rowsOf } from './rows';

const record = (more: object = {}): IManyRecord =>
  readMany({
    version: 1,
    group: 'g',
    what: 'calls',
    endpoint: 'http://127.0.0.1:1',
    jobs: [
      { label: 'n=1', job_id: 'j-1', outcome: 'succeeded', duration_s: 1.5 },
      { label: 'n=2', job_id: 'j-2', outcome: 'running' },
      { label: 'n=3' }
    ],
    ...more
  }) as IManyRecord;

describe('readMany', () => {
  it('reads what many_card.py writes', () =>
    expect(record()).toMatchObject({
      group: 'g',
      newer: false,
      members: [
        { label: 'n=1', job: 'j-1', outcome: 'succeeded', durationMs: 1500 },
        { label: 'n=2', job: 'j-2', outcome: 'running', durationMs: null },
        { label: 'n=3', job: '', outcome: null }
      ]
    }));

  it.each([null, 1, 'x', [], {}, { jobs: 7 }])('finds no jobs in %j', data =>
    expect(readMany(data)).toBeNull()
  );

  it('leaves out what has the wrong type, cuts endless texts, and knows newer versions', () => {
    const odd = record({ version: 9, group: 3, jobs: [null, 7, { label: 'x'.repeat(1e6), outcome: 'odd' }] });
    expect(odd).toMatchObject({ newer: true, group: '' });
    expect(odd.members.map(one => one.outcome)).toEqual([null, null, null]);
    expect(odd.members[2]?.label.length).toBeLessThan(1000);
  });
});

describe('the rows of a card', () => {
  const job = (id: string, state: string, details: object = {}): IJob =>
    ({
      ID: id,
      CreateTime: 1e15,
      ModifyTime: 5e15,
      State: { StateType: state, Details: details }
    }) as unknown as IJob;
  const entries = (...jobs: IJob[]) => new Map(jobs.map(one => [one.ID, entryOf(one)]));

  it('are those of the record while nobody was asked', () =>
    expect(rowsOf(record().members, new Map()).map(row => [row.outcome, row.isKnown])).toEqual([
      ['succeeded', false],
      ['running', false],
      ['waiting', false]
    ]));

  it('are those of the cluster as far as it says them', () => {
    const details = { ExitCode: '3', Error: 'boom', Outcome: 'failed', StartTime: '2000000000000000' };
    const rows = rowsOf(record().members, entries(job('j-2', 'Completed', details)));
    expect(rows[1]).toEqual({
      label: 'n=2',
      job: 'j-2',
      outcome: 'failed',
      exitCode: 3,
      durationMs: 3e9,
      error: 'boom',
      isKnown: true
    });
  });

  it('leave the end open exactly while a job may still change', () => {
    expect(isOpen(record().members)).toBe(true);
    expect(isOpen(record().members.slice(0, 1))).toBe(false);
  });
});

describe('the counts', () => {
  it('say what is done, and what needs somebody', () => {
    const of = (...outcomes: string[]) => countsText(outcomes.map(outcome => ({ outcome })) as never, trans);
    expect(of('succeeded', 'succeeded')).toBe('2 of 2 done');
    expect(of('failed', 'succeeded', 'running', 'waiting', 'waiting', 'stopped')).toBe(
      '3 of 6 done, 1 failed, 1 stopped, 1 running, 2 waiting'
    );
  });

  it('add up, whatever the outcomes are', () => {
    // Every multiset of up to four outcomes.
    const grow = (sets: string[][]): string[][] => sets.flatMap(set => OUTCOMES.map(one => [...set, one]));
    for (let sets: string[][] = [[]], size = 0; size <= 4; size += 1, sets = grow(sets)) {
      for (const set of sets) {
        const text = countsText(set.map(outcome => ({ outcome })) as never, trans);
        const number = (word: string): number => Number(new RegExp(`(\\d+) ${word}`).exec(text)?.[1] ?? 0);
        expect(Number(/^\d+/.exec(text)?.[0]) + number('running') + number('waiting')).toBe(size);
      }
    }
  });
});

describe('lookUpGroup', () => {
  const api = (pages: object[], url = 'http://localhost:1/'): { api: Api; asked: object[] } => {
    const asked: object[] = [];
    const list = (options: object): Promise<unknown> => {
      asked.push(options);
      return Promise.resolve(pages[asked.length - 1]);
    };
    const status = (): Promise<unknown> => Promise.resolve({ cluster: { url } });
    return { api: { jobs: { list }, agent: { status } } as unknown as Api, asked };
  };

  it('reads all pages of the group, and takes only the jobs that the record names', async () => {
    const { api: fake, asked } = api([
      { Items: [{ ID: 'j-1' }, { ID: 'j-forged' }], NextToken: 'more' },
      { Items: [{ ID: 'j-2' }] }
    ]);
    expect(await lookUpGroup(record(), fake)).toEqual({
      kind: 'found',
      jobs: [{ ID: 'j-1' }, { ID: 'j-2' }]
    });
    expect(asked).toMatchObject([{ labels: 'bacalhau-group=g', token: '' }, { token: 'more' }]);
  });

  it('distinguishes removed jobs from another cluster', async () => {
    expect(await lookUpGroup(record(), api([{ Items: [] }]).api)).toEqual({ kind: 'gone' });
    const elsewhere = await lookUpGroup(record(), api([{ Items: [] }], 'http://b:2').api);
    expect(elsewhere).toEqual({ kind: 'elsewhere', cluster: 'http://b:2' });
    expect(reasonOf(record(), elsewhere, trans)).toMatch(/http:\/\/127.0.0.1:1.*http:\/\/b:2/);
  });

  it.each([
    ['extension', 404, 'missing'],
    ['api', 503, 'failed']
  ] as const)('takes an error of kind %s for %s', async (kind, status, found) => {
    const list = (): Promise<never> => Promise.reject(new ApiError('down', kind, status));
    const lookup = await lookUpGroup(record(), { jobs: { list } } as unknown as Api);
    expect(lookup.kind).toBe(found);
    expect(reasonOf(record(), lookup, trans)).not.toBe('');
  });
});
