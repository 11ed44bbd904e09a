import { IExecution } from '../api/types';
import { trans } from '../page/words';
import { entryOf } from '../store/state';
import {
  asked,
  endOfExecution,
  executionState,
  exitOf,
  lacksFacts,
  messageOf,
  newestFirst,
  times,
  tookMs
} from './facts';

const execution = (more: object): IExecution => ({ ID: 'e', ...more });

describe('what a job asked for', () => {
  it.each([
    [{ CPU: '2', Memory: '4gb', GPU: '1' }, '2 CPU · 4gb · 1 GPU'],
    [{ GPU: '0' }, ''],
    [{}, ''],
    [undefined, '']
  ])('of %j is %j', (Resources, text) => expect(asked({ ID: 'j', Tasks: [{ Resources }] })).toBe(text));

  it('is nothing without a task', () => {
    expect(asked({ ID: 'j' })).toBe('');
    expect(asked({ ID: 'j', Tasks: [] })).toBe('');
  });
});

describe('an execution', () => {
  it.each([
    [0, 'Undefined'],
    [6, 'Running'],
    [11, 'Cancelled'],
    [12, 'Undefined'],
    [-1, 'Undefined'],
    [1.5, 'Undefined'],
    ['map', 'Undefined'],
    ['__proto__', 'Undefined'],
    [null, 'Undefined']
  ])('in the state %j is %s', (StateType, name) =>
    expect(executionState(execution({ ComputeState: { StateType } }))).toBe(name)
  );

  it('has an exit code once it says something', () => {
    const exit = (StateType: number, ExitCode?: number): number | null =>
      exitOf(execution({ ComputeState: { StateType }, RunOutput: { ExitCode } }));
    expect([exit(9, 0), exit(9, 3), exit(10, 137), exit(6, 0), exit(6)]).toEqual([0, 3, 137, null, null]);
    expect(exitOf(execution({ RunOutput: null }))).toBeNull();
    // What official nodes write of a WebAssembly program that just returned, and of one that could not run.
    expect(exit(9, -1)).toBe(0);
    expect(exitOf(execution({ RunOutput: { ExitCode: -1, ErrorMsg: 'no module' } }))).toBe(-1);
  });

  it('took no time before it began, and never less than none', () => {
    const over = { ComputeState: { StateType: 9 } };
    expect(tookMs(execution({}), 9)).toBe(0);
    expect(tookMs(execution({ ...over, CreateTime: 5e6, ModifyTime: 2e6 }), 9)).toBe(0);
    expect(tookMs(execution({ ...over, CreateTime: 1e6, ModifyTime: 3e6 }), 9)).toBe(2);
  });

  it('takes time as long as it is under way, also when nothing is reported of it', () => {
    const bid = execution({
      CreateTime: 1e6,
      ModifyTime: 2e6,
      ComputeState: { StateType: 5, Message: 'Running' }
    });
    expect(tookMs(bid, 9)).toBe(8);
    expect(endOfExecution(bid, trans)).toEqual({ sign: '▶', label: 'Running', failed: false });
    expect(messageOf(bid)).toBe('');
  });

  it('stands before the older ones, and the list that was unsorted stays as it is', () => {
    const unsorted = [execution({ CreateTime: 1 }), execution({ CreateTime: 3 }), execution({})];
    expect(newestFirst(unsorted).map(item => item.CreateTime)).toEqual([3, 1, undefined]);
    expect(unsorted.map(item => item.CreateTime)).toEqual([1, 3, undefined]);
  });
});

describe('the end of an execution', () => {
  const ended = (StateType: number, RunOutput: object, Message = ''): IExecution =>
    execution({ ComputeState: { StateType, Message }, RunOutput });

  it.each<[IExecution, string, boolean, string]>([
    [ended(9, { ExitCode: 0, stderr: 'a warning' }, 'Running'), '✓ Completed', false, ''],
    [ended(9, { ExitCode: 3, stderr: 'x\nKeyError: k\n' }, 'Running'), '✕ exit 3', true, 'KeyError: k'],
    [ended(10, { ExitCode: 137 }, 'killed: out of memory'), '✕ Failed', true, 'killed: out of memory'],
    [ended(10, {}, 'no such image'), '✕ Failed', true, 'no such image'],
    [ended(6, {}, 'Running'), '▶ Running', false, ''],
    [ended(11, {}, 'stopped'), '■ Cancelled', false, 'stopped'],
    [ended(4, {}, 'rejected bid: no docker here'), '○ refused', false, 'no docker here']
  ])('of %j is %j', (item, label, failed, message) => {
    const end = endOfExecution(item, trans);
    expect([`${end.sign} ${end.label}`, end.failed, messageOf(item)]).toEqual([label, failed, message]);
  });
});

describe('the executions of a job', () => {
  const entry = (StateType: 'Queued' | 'Running' | 'Completed', Details: Record<string, string> = {}) =>
    entryOf({ ID: 'j', State: { StateType, Details } });

  it('are asked for where the node did not note what a row shows', () => {
    expect(lacksFacts(entry('Running'))).toBe(true);
    expect(lacksFacts(entry('Completed'))).toBe(true);
    expect(lacksFacts({ ...entry('Completed'), executions: [] })).toBe(false);
  });

  it('are not asked for where it did, nor before there are any', () => {
    expect(lacksFacts(entry('Completed', { Outcome: 'succeeded' }))).toBe(false);
    expect(lacksFacts(entry('Running', { StartTime: '1' }))).toBe(false);
    expect(lacksFacts(entry('Queued'))).toBe(false);
  });
});

describe('the times of a job', () => {
  const job = (StateType: 'Queued' | 'Running' | 'Completed' | 'Failed', StartTime?: string) =>
    entryOf({
      ID: 'j',
      CreateTime: 1000e6,
      ModifyTime: 9000e6,
      State: { StateType, Details: StartTime ? { StartTime } : {} }
    });

  it('tell waiting and running apart', () => {
    expect(times(job('Completed', '4000000000'), 99_000)).toEqual({ ran: 5000, waited: 3000 });
    expect(times(job('Running', '4000000000'), 6000)).toEqual({ ran: 2000, waited: 3000 });
    expect(times(job('Queued'), 6000)).toEqual({ ran: null, waited: 5000 });
  });

  it('of a job that failed before it ran are waiting alone', () => {
    expect(times(job('Failed'), 99_000)).toEqual({ ran: null, waited: 8000 });
  });

  it('are counted from the submission where no start is known', () => {
    expect(times(job('Completed'), 99_000)).toEqual({ ran: 8000, waited: 0 });
  });
});
