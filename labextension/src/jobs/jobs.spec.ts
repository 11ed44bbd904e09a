import { IJob } from '../api/types';
import { EMPTY, reduce } from '../store/state';
import { describe as describeResult } from '../api/results';
import { trans } from '../page/words';
import { countText, namespaces, notebooks, visible } from './filter';
import { shown, spec } from './spec';

const jobs: IJob[] = [
  { ID: 'j-1', Name: 'train', Labels: { team: 'red' }, State: { StateType: 'Running' }, CreateTime: 3 },
  {
    ID: 'j-2',
    Name: 'test',
    Labels: { team: 'blue' },
    State: { StateType: 'Failed', Message: 'OOM' },
    CreateTime: 2
  }
];
const state = reduce(EMPTY, [{ type: 'jobs', jobs }]);

describe('visible', () => {
  it('finds by words in any place, labels and states', () => {
    expect(visible(state, { outcomes: [], text: '' })).toBe(state.order);
    expect(visible(state, { outcomes: [], text: 'T' })).toEqual(['j-1', 'j-2']);
    expect(visible(state, { outcomes: [], text: 'team=blue oom' })).toEqual(['j-2']);
    expect(visible(state, { outcomes: ['running'], text: '' })).toEqual(['j-1']);
    expect(visible(state, { outcomes: ['running'], text: 'blue' })).toEqual([]);
  });

  it('finds by namespace', () => {
    const others = reduce(state, [{ type: 'jobs', jobs: [{ ID: 'j-3', Namespace: 'lab', CreateTime: 9 }] }]);
    expect(namespaces(others)).toEqual(['default', 'lab']);
    expect(visible(others, { outcomes: [], text: '', namespace: 'lab' })).toEqual(['j-3']);
    expect(visible(others, { outcomes: [], text: '', namespace: 'default' })).toEqual(['j-1', 'j-2']);
  });
});

describe('the failed jobs', () => {
  const ended = (ID: string, ExitCode: string, CreateTime: number, Error = ''): IJob => ({
    ID,
    CreateTime,
    Meta: { 'jupyter.org/title': `${ID}.ipynb [1]` },
    State: { StateType: 'Completed', Details: { Outcome: 'x', ExitCode, Error } }
  });
  const some = reduce(EMPTY, [
    { type: 'jobs', jobs: [ended('bad', '1', 2, 'KeyError: k'), ended('good', '0', 1)] }
  ]);

  it('are those whose program failed, too', () => {
    expect(visible(some, { outcomes: ['failed'], text: '' })).toEqual(['bad']);
    expect(visible(some, { outcomes: ['succeeded'], text: '' })).toEqual(['good']);
  });

  it('are found by their error and their notebook', () => {
    expect(visible(some, { outcomes: [], text: 'keyerror' })).toEqual(['bad']);
    expect(visible(some, { outcomes: [], text: '', notebook: 'good.ipynb' })).toEqual(['good']);
    expect(notebooks(some)).toEqual(['bad.ipynb', 'good.ipynb']);
  });
});

describe('spec', () => {
  it('leaves out what the orchestrator added', () => {
    const job = {
      ...jobs[0],
      ID: 'j-1',
      Version: 3,
      Meta: { 'bacalhau.org/requester.id': 'n', mine: '1' },
      Tasks: [{ Name: 'main', Engine: { Type: 'noop', Params: { A: null, B: 0 } } }]
    };
    expect(spec(job)).toEqual({
      Name: 'train',
      Labels: { team: 'red' },
      Meta: { mine: '1' },
      Tasks: [{ Name: 'main', Engine: { Type: 'noop', Params: { B: 0 } } }]
    });
  });
});

describe('the spec that is shown', () => {
  it('hides values of variables whose name looks secret', () => {
    const task = {
      Env: { AWS_SECRET_ACCESS_KEY: 's3cret', MODE: 'fast', MY_TOKEN: 't' },
      Engine: { Params: { EnvironmentVariables: ['DB_PASSWORD=hunter2', 'A=b', 'TOKENS'] } }
    };
    expect(shown({ Tasks: [task] })).toEqual({
      Tasks: [
        {
          Env: { AWS_SECRET_ACCESS_KEY: '***', MODE: 'fast', MY_TOKEN: '***' },
          Engine: { Params: { EnvironmentVariables: ['DB_PASSWORD=***', 'A=b', 'TOKENS'] } }
        }
      ]
    });
  });

  it('names data that travels inside the job', () => {
    const URL = `data:application/gzip;base64,${'A'.repeat(500)}`;
    expect(shown({ URL })).toEqual({ URL: 'data:application/gzip;base64,… 375 B' });
    expect(shown({ URL: 'data:text/plain,hi' })).toEqual({ URL: 'data:text/plain,hi' });
  });
});

describe('results', () => {
  it('offers only web addresses for download', () => {
    const download = (URL: string): string => describeResult({ Type: 'local', Params: { URL } }).download;
    expect(download('/user/x/bacalhau/api/v1/compute/results/a.tar.gz?sig=1')).not.toBe('');
    expect(download('https://example.org/a')).not.toBe('');
    expect(download('javascript:alert(1)')).toBe('');
    expect(download('//evil.example')).toBe('');
  });
});

it.each([
  [12, 12, '12 jobs'],
  [1, 1, '1 job'],
  [3, 12, '3 of 12 jobs'],
  [0, 1, '0 of 1 job'],
  [0, 0, '0 jobs']
])('a list that shows %i of %i says what it counts', (shown, total, text) =>
  expect(countText(shown, total, trans)).toBe(text)
);
