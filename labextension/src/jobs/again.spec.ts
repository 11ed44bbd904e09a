import { IJob } from '../api/types';
import { again } from './again';

const job: IJob = {
  ID: 'j-1',
  Name: 'train',
  Namespace: 'lab',
  Type: 'batch',
  Count: 2,
  Version: 3,
  Revision: 9,
  CreateTime: 1,
  ModifyTime: 2,
  State: { StateType: 'Completed' },
  Labels: { team: 'red' },
  Meta: { 'bacalhau.org/requester.id': 'n', 'jupyter.org/bacalhau-submission': 'm', mine: '1' },
  Tasks: [{ Name: 'main', Engine: { Type: 'noop', Params: { Empty: '' } } }]
};

it('a run again is the same spec without what the orchestrator added, linked to the first run', () => {
  expect(again(job)).toEqual({
    Namespace: 'lab',
    Type: 'batch',
    Count: 2,
    Labels: { team: 'red' },
    Meta: { mine: '1', 'jupyter.org/title': 'train', 'jupyter.org/rerun-of': 'j-1' },
    Tasks: job.Tasks
  });
});

it('a run again of a run again is linked to the first run, too', () => {
  const second = { ...job, ID: 'j-2', ...again(job) };
  expect(again(second).Meta?.['jupyter.org/rerun-of']).toBe('j-1');
});
