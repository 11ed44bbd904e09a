import { IJob } from '../api/types';
import { notebookOf, rerunOf, titleOf } from './title';

const job = (more: Partial<IJob>): IJob => ({ ID: 'j-761f5690-1', Name: 'j-761f5690-1', ...more });
const runs = (Type: string, Params: Record<string, unknown>): IJob =>
  job({ Tasks: [{ Engine: { Type, Params } }] });

describe('the title of a job', () => {
  it.each<[IJob, string]>([
    [job({ Name: 'train' }), 'train'],
    [job({ Meta: { 'jupyter.org/title': 'quickstart.ipynb [3]' } }), 'quickstart.ipynb [3]'],
    [job({ Name: 'train', Meta: { 'jupyter.org/title': 'q.ipynb [3]' } }), 'train'],
    [job({}), 'j-761f5690'],
    [runs('process', { Command: ['sh', '-c', '\n#!/bin/sh\n echo hi\nls'] }), 'echo hi'],
    [runs('process', { Command: ['ls', '-l'] }), 'ls -l'],
    [runs('docker', { Image: 'ubuntu', Parameters: ['echo', 'hi'] }), 'ubuntu: echo hi'],
    [runs('docker', { Image: 'ubuntu' }), 'ubuntu'],
    [runs('docker', { Image: 'debian', Entrypoint: ['sh', '/.bacalhau/cell.sh'] }), 'j-761f5690'],
    [runs('process', { Command: 'rm' }), 'j-761f5690'],
    [runs('process', { Command: ['sh', '-c'] }), 'sh -c']
  ])('of %j is %j', (job, title) => expect(titleOf(job)).toBe(title));

  it('shows what can’t be seen, and is short', () => {
    expect(titleOf(job({ Meta: { 'jupyter.org/title': 'a\u202eb' } }))).toBe('a\\u202eb');
    expect(titleOf(runs('process', { Command: ['x'.repeat(500)] }))).toHaveLength(80);
  });
});

it.each([
  [{ 'jupyter.org/title': 'a b.ipynb [12]' }, 'a b.ipynb'],
  [{ 'jupyter.org/title': 'print(1)' }, ''],
  [{ 'jupyter.org/notebook': 'work/n.ipynb' }, 'n.ipynb'],
  [{ 'jupyter.org/session': 'sha256:00ff' }, ''],
  [{}, '']
])('the notebook of %j is %j', (Meta, name) => expect(notebookOf(job({ Meta: Meta }))).toBe(name));

it('a run again names the first run', () => {
  expect(rerunOf(job({ Meta: { 'jupyter.org/rerun-of': 'j-1' } }))).toBe('j-1');
  expect(rerunOf(job({ Meta: { 'jupyter.org/rerun-of': 7 as unknown as string } }))).toBe('');
});
