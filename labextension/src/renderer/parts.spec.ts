import { IExecution, IJob } from '../api/types';
import { countsText } from '../many/rows';
import { trans } from '../page/words';
import { MOST_PARTS, partsOf, readParts } from './parts';

const [REFUSED, BID_ACCEPTED, COMPLETED, FAILED, CANCELLED] = [4, 5, 9, 10, 11];

function execution(part: number, StateType: number, more: Partial<IExecution> = {}): IExecution {
  const CreateTime = more.CreateTime ?? 1e9;
  return {
    ID: `e-${part}-${CreateTime / 1e9}`,
    PartitionIndex: part,
    ComputeState: { StateType },
    CreateTime,
    ModifyTime: CreateTime + 2e9,
    ...more
  };
}

function job(Count: number, StateType: 'Running' | 'Completed' | 'Failed' | 'Stopped', Type = 'batch'): IJob {
  return { ID: 'j', Type, Count, State: { StateType } };
}

describe('the parts of a job', () => {
  it('are told by the execution that counts, and wait while there is none', () => {
    const ended = execution(1, COMPLETED, { RunOutput: { ExitCode: 3, stderr: 'first\nlast word\n' } });
    const again = execution(0, COMPLETED, { CreateTime: 2e9, RunOutput: { ExitCode: 0 } });
    const all = [execution(0, FAILED), again, ended, execution(2, BID_ACCEPTED)];
    expect(partsOf(job(4, 'Running'), all, trans)).toEqual([
      {
        label: 'part 0',
        execution: 'e-0-2',
        outcome: 'succeeded',
        exitCode: 0,
        durationMs: 2000,
        error: '',
        refused: false
      },
      {
        label: 'part 1',
        execution: 'e-1-1',
        outcome: 'failed',
        exitCode: 3,
        durationMs: 2000,
        error: 'last word',
        refused: false
      },
      {
        label: 'part 2',
        execution: 'e-2-1',
        outcome: 'running',
        exitCode: null,
        durationMs: null,
        error: '',
        refused: false
      },
      {
        label: 'part 3',
        execution: '',
        outcome: 'waiting',
        exitCode: null,
        durationMs: null,
        error: '',
        refused: false
      }
    ]);
  });

  it('that never ran share the end of their job', () => {
    const outcomes = (state: 'Failed' | 'Stopped'): string[] =>
      partsOf(job(2, state), [execution(0, CANCELLED)], trans).map(part => part.outcome);
    expect([outcomes('Stopped'), outcomes('Failed')]).toEqual([
      ['stopped', 'stopped'],
      ['stopped', 'failed']
    ]);
  });

  it('are its nodes where it runs on all of them', () => {
    const all = [execution(0, COMPLETED, { NodeID: 'n-1' }), execution(0, FAILED, { NodeID: 'n-2' })];
    expect(partsOf(job(1, 'Failed', 'ops'), all, trans).map(part => [part.label, part.outcome])).toEqual([
      ['on n-1', 'succeeded'],
      ['on n-2', 'failed']
    ]);
  });

  it('say that a node refused, and why; one that only has no room now is asked again', () => {
    const refused = execution(0, REFUSED, {
      NodeID: 'n-2',
      ComputeState: { StateType: REFUSED, Message: 'rejected bid: no docker here' }
    });
    const full = execution(0, REFUSED, {
      NodeID: 'n-3',
      ComputeState: { StateType: REFUSED, Message: 'rejected bid: busy', Details: { Capacity: 'true' } }
    });
    const all = [execution(0, COMPLETED, { NodeID: 'n-1' }), refused, full];
    const told = (state: 'Running' | 'Completed'): unknown[] =>
      partsOf(job(1, state, 'ops'), all, trans).map(part => [part.outcome, part.refused, part.error]);
    expect(told('Running')).toEqual([
      ['succeeded', false, ''],
      ['stopped', true, 'no docker here'],
      ['waiting', false, '']
    ]);
    expect(told('Completed').slice(1)).toEqual([
      ['stopped', true, 'no docker here'],
      ['stopped', true, 'busy']
    ]);
    expect(countsText(partsOf(job(1, 'Completed', 'ops'), all, trans), trans)).toBe('3 of 3 done, 2 refused');
    expect(readParts([{ refused: true }])[0]?.refused).toBe(true);
  });

  it.each([0, 1])('are none where it runs once: count %i', count =>
    expect(partsOf(job(count, 'Completed'), [execution(0, COMPLETED)], trans)).toEqual([])
  );

  it('are shown up to a limit', () => {
    expect(partsOf(job(1_000_000, 'Running'), [], trans)).toHaveLength(MOST_PARTS);
    expect(readParts(Array.from({ length: 1000 }, () => ({})))).toHaveLength(MOST_PARTS);
  });

  it.each([null, 7, {}, 'parts'])('are none in a record without a list: %j', data =>
    expect(readParts(data)).toEqual([])
  );

  it('of a record are as they were stored, without members of a wrong type', () => {
    const stored = { label: 'part 0', execution: 'e', outcome: 'failed', exit_code: 3, duration_s: 1.5 };
    expect(readParts([stored, 7, { label: 7, outcome: '<b>', exit_code: 'x' }])).toEqual([
      {
        label: 'part 0',
        execution: 'e',
        outcome: 'failed',
        exitCode: 3,
        durationMs: 1500,
        error: '',
        refused: false
      },
      {
        label: '',
        execution: '',
        outcome: 'waiting',
        exitCode: null,
        durationMs: null,
        error: '',
        refused: false
      },
      {
        label: '',
        execution: '',
        outcome: 'waiting',
        exitCode: null,
        durationMs: null,
        error: '',
        refused: false
      }
    ]);
  });
});
