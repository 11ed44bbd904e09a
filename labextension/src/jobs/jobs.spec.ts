import { IJob } from '../api/types';
import { EMPTY, reduce } from '../store/state';
import { describe as describeResult } from '../api/results';
import { namespaces, visible } from './filter';
import { spec } from './spec';

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
    expect(visible(state, { states: [], text: '' })).toBe(state.order);
    expect(visible(state, { states: [], text: 'T' })).toEqual(['j-1', 'j-2']);
    expect(visible(state, { states: [], text: 'team=blue oom' })).toEqual(['j-2']);
    expect(visible(state, { states: ['Running'], text: '' })).toEqual(['j-1']);
    expect(visible(state, { states: ['Running'], text: 'blue' })).toEqual([]);
  });

  it('finds by namespace', () => {
    const others = reduce(state, [{ type: 'jobs', jobs: [{ ID: 'j-3', Namespace: 'lab', CreateTime: 9 }] }]);
    expect(namespaces(others)).toEqual(['default', 'lab']);
    expect(visible(others, { states: [], text: '', namespace: 'lab' })).toEqual(['j-3']);
    expect(visible(others, { states: [], text: '', namespace: 'default' })).toEqual(['j-1', 'j-2']);
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

describe('results', () => {
  it('offers only web addresses for download', () => {
    const download = (URL: string): string => describeResult({ Type: 'local', Params: { URL } }).download;
    expect(download('/user/x/bacalhau/api/v1/compute/results/a.tar.gz?sig=1')).not.toBe('');
    expect(download('https://example.org/a')).not.toBe('');
    expect(download('javascript:alert(1)')).toBe('');
    expect(download('//evil.example')).toBe('');
  });
});
