import { IExecution, IJob, JobStateName } from '../api/types';
import { endOf, isRecorded, outcomeOf, reasonIn, recordedNode, withState } from './outcome';

const job = (details?: object, StateType: JobStateName = 'Completed'): IJob => ({
  ID: 'j',
  State: { StateType, Details: details as Record<string, string> }
});
const execution = (ExitCode: number | undefined, more: object = {}): IExecution => ({
  ID: 'e',
  ComputeState: { StateType: 9 },
  RunOutput: { ExitCode },
  ...more
});

it.each<[JobStateName, number | null, string]>([
  ['Undefined', null, 'waiting'],
  ['Pending', null, 'waiting'],
  ['Queued', null, 'waiting'],
  ['Running', null, 'running'],
  ['Completed', null, 'succeeded'],
  ['Completed', 0, 'succeeded'],
  ['Completed', 1, 'failed'],
  ['Failed', 0, 'failed'],
  ['Failed', null, 'failed'],
  ['Stopped', 137, 'stopped']
])('a job in the state %s with exit code %s is %s', (state, code, outcome) =>
  expect(outcomeOf(state, code)).toBe(outcome)
);

describe('what became of a job', () => {
  it('is what its node noted, without any execution', () => {
    const noted = {
      Outcome: 'failed',
      ExitCode: '3',
      Error: 'ValueError: no',
      NodeID: 'n-1',
      StartTime: '1700000000000000000'
    };
    expect(endOf(job(noted), 'Completed', null)).toEqual({
      outcome: 'failed',
      exitCode: 3,
      error: 'ValueError: no',
      started: 1.7e12
    });
    expect(recordedNode(job(noted))).toBe('n-1');
    expect(isRecorded(job(noted), 'Completed')).toBe(true);
  });

  it('is what the executions say where nobody noted it', () => {
    const failing = execution(2, { RunOutput: { ExitCode: 2, stderr: 'Traceback\nOSError: full\n\n' } });
    const end = endOf(job(), 'Completed', [execution(0), { ...failing, CreateTime: 5e6 }]);
    expect(end).toEqual({ outcome: 'failed', exitCode: 2, error: 'OSError: full', started: 5 });
    expect(isRecorded(job(), 'Completed')).toBe(false);
  });

  it('knows of a stopped job that it ran, unless a node of ours says that it never did', () => {
    const cut = [{ ID: 'e', CreateTime: 5e6, ComputeState: { StateType: 11 } }];
    expect(endOf(job(undefined, 'Stopped'), 'Stopped', cut).started).toBe(5);
    expect(endOf(job({ Outcome: 'stopped' }, 'Stopped'), 'Stopped', cut).started).toBeNull();
  });

  it('is unknown while nobody has asked for the executions', () => {
    expect(endOf(job(), 'Completed', null)).toEqual({
      outcome: 'succeeded',
      exitCode: null,
      error: '',
      started: null
    });
  });

  it.each([null, [], 'x', { ExitCode: 3 }, { ExitCode: '3x' }, { StartTime: 'soon' }, { Error: ['x'] }])(
    'does not stumble over details like %j',
    details => {
      const end = endOf(job(details as object), 'Completed', null);
      expect([end.exitCode, end.error, end.started]).toEqual([null, '', null]);
    }
  );
});

describe('a new state', () => {
  it('brings along what the event says of the outcome, and nothing else', () => {
    const ended = withState(
      job({ StartTime: '5' }, 'Running'),
      'Completed',
      { ExitCode: '1', IsError: 'x' },
      0
    );
    expect(ended.State).toEqual({ StateType: 'Completed', Details: { StartTime: '5', ExitCode: '1' } });
  });

  it('notes when a job began to run, once', () => {
    const running = withState(job({}, 'Queued'), 'Running', undefined, 1_700_000_000_123);
    expect(running.State?.Details).toEqual({ StartTime: '1700000000123000000' });
    expect(withState(running, 'Running', undefined, 9).State).toEqual(running.State);
    expect(withState(job({}), 'Running', undefined, NaN).State?.Details).toEqual({});
  });
});

const SHORT = 'not enough nodes to run job. requested: 1, available: 1, suitable: 0.';

it.each([
  [`${SHORT}\n• Node stock: labels don't match`, "labels don't match"],
  [`${SHORT}\n• Node a: busy\n• Node b: full`, 'Node a: busy; Node b: full'],
  [`${SHORT}\n• Node stock: `, SHORT],
  ['Execution timed out\nafter 2 s', 'Execution timed out'],
  ['', '']
])('the reason in %j is %j', (message, reason) => expect(reasonIn(message)).toBe(reason));
