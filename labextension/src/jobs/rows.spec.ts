import { IJob } from '../api/types';
import { EMPTY, reduce } from '../store/state';
import { ListRow, picked, rowsOf, tally } from './rows';

const cellJob = (ID: string, CreateTime: number, more: object = {}, exit = '0'): IJob => ({
  ID,
  CreateTime,
  Meta: { 'jupyter.org/title': 'n.ipynb [3]', 'jupyter.org/cell': 'c', ...more },
  State: { StateType: 'Completed', Details: { Outcome: '', ExitCode: exit } }
});
const jobs: IJob[] = [
  cellJob('again', 9, { 'jupyter.org/rerun-of': 'a' }),
  cellJob('c', 8),
  { ID: 'other', CreateTime: 7 },
  cellJob('b', 6, {}, '1'),
  cellJob('a', 5),
  cellJob('alone', 4, { 'jupyter.org/title': 'n.ipynb [2]' })
];
const state = reduce(EMPTY, [{ type: 'jobs', jobs }]);
const KEY = '\nc\nn.ipynb [3]';
const names = (rows: readonly ListRow[]): string[] =>
  rows.map(row => (row.kind === 'group' ? `[${row.ids.join(' ')}]` : `${row.inside ? '  ' : ''}${row.id}`));

describe('the lines of the list', () => {
  it('have the jobs of one run of a cell under one heading, where the newest is', () => {
    expect(names(rowsOf(state.order, state.jobs, new Set()))).toEqual(['again', '[c b a]', 'other', 'alone']);
  });

  it('show what is below an open heading', () => {
    expect(names(rowsOf(state.order, state.jobs, new Set([KEY])))).toEqual([
      'again',
      '[c b a]',
      '  c',
      '  b',
      '  a',
      'other',
      'alone'
    ]);
  });

  it('have the jobs of one map under one heading', () => {
    const call = (ID: string, group: string): IJob => ({
      ID,
      CreateTime: 1,
      Labels: { 'bacalhau-group': group },
      Meta: { 'jupyter.org/title': 'square(…)' }
    });
    const calls = reduce(EMPTY, [{ type: 'jobs', jobs: [call('a', 'x'), call('b', 'x'), call('c', 'y')] }]);
    expect(names(rowsOf(['a', 'b', 'c'], calls.jobs, new Set()))).toEqual(['[a b]', 'c']);
  });

  it('need no heading for what a filter leaves of a group', () => {
    expect(names(rowsOf(['b'], state.jobs, new Set()))).toEqual(['b']);
  });
});

it('a heading says how its jobs ended, the failed ones first', () => {
  expect(tally(['c', 'b', 'a', 'unknown'], state.jobs)).toEqual([
    ['failed', 1],
    ['succeeded', 2]
  ]);
});

describe('picking', () => {
  const rows = rowsOf(state.order, state.jobs, new Set());

  it('adds and takes away one line, a heading with all its jobs', () => {
    const one = picked(rows, new Set(), -1, 0, 'toggle');
    expect([...one]).toEqual(['again']);
    const more = picked(rows, one, 0, 1, 'toggle');
    expect([...more]).toEqual(['again', 'c', 'b', 'a']);
    expect([...picked(rows, more, 1, 1, 'toggle')]).toEqual(['again']);
  });

  it('reaches from the last line to this one, either way', () => {
    expect([...picked(rows, new Set(), 2, 0, 'range')]).toEqual(['again', 'c', 'b', 'a', 'other']);
    expect([...picked(rows, new Set(), -1, 0, 'range')]).toEqual(['again']);
  });
});
