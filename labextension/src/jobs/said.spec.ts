import { IHistoryItem } from '../api/types';
import { trans } from '../page/words';
import { entryOf } from '../store/state';
import { actorOf, saidOf } from './said';

const exited = (code: string, Count = 1): ReturnType<typeof entryOf> =>
  entryOf({ ID: 'j', Count, State: { StateType: 'Completed', Details: { Outcome: 'x', ExitCode: code } } });
const done: IHistoryItem = { ExecutionID: 'e-1', Event: { Message: 'Completed successfully' } };
const over: IHistoryItem = { Event: { Message: 'Completed', Details: { NewState: 'Completed' } } };

describe('what the timeline says', () => {
  it.each([
    [done, 'Completed successfully'],
    [over, 'Completed']
  ])('of the end of a program that failed is its exit code', (item, official) => {
    expect(saidOf(item, exited('1'), trans)).toEqual({ text: '✕ exit 1', official, failed: true });
  });

  it.each([done, over])('of the end of a program that went well is what the wire says', item =>
    expect(saidOf(item, exited('0'), trans)).toEqual({
      text: item.Event?.Message,
      official: '',
      failed: false
    })
  );

  it('is said of each execution of several by its own exit code, and not guessed before it is known', () => {
    const entry = exited('3', 2);
    expect(saidOf(done, entry, trans).failed).toBe(false);
    const executions = [
      { ID: 'e-1', ComputeState: { StateType: 9 }, RunOutput: { ExitCode: 0 } },
      { ID: 'e-2', ComputeState: { StateType: 9 }, RunOutput: { ExitCode: 3 } }
    ];
    expect(saidOf(done, { ...entry, executions }, trans).failed).toBe(false);
    expect(saidOf({ ...done, ExecutionID: 'e-2' }, { ...entry, executions }, trans).text).toBe('✕ exit 3');
  });

  it('of the end of an execution is what ran it', () => {
    const ended = { ...done, Event: { ...done.Event, Details: { Runtime: 'wasmtime 50.0.1' } } };
    expect(saidOf(ended, exited('0'), trans).text).toBe('Completed successfully (wasmtime 50.0.1)');
    const other = { ...ended, Event: { ...ended.Event, Message: 'fetched inputs: 78 kB' } };
    expect(saidOf(other, exited('0'), trans).text).toBe('fetched inputs: 78 kB');
  });

  it('of other events is their own text, and an error stays one', () => {
    const running: IHistoryItem = { Event: { Message: 'Running', Details: { NewState: 'Running' } } };
    expect(saidOf(running, exited('1'), trans)).toEqual({ text: 'Running', official: '', failed: false });
    expect(
      saidOf({ Event: { Message: 'no', Details: { IsError: 'true' } } }, exited('1'), trans).failed
    ).toBe(true);
    expect(saidOf({}, exited('1'), trans).text).toBe('');
  });
});

describe('who caused an event', () => {
  const by = (Principal?: string, ExecutionID = ''): IHistoryItem => ({
    ExecutionID,
    Event: { Message: 'Job submitted', Details: Principal ? { Principal } : {} }
  });

  it('is told where others than the owner act, and of the owner then, too', () => {
    const items = [by('user:ada'), by('owner'), by()];
    expect(items.map(item => actorOf(item, items))).toEqual(['user:ada', 'owner', '']);
  });

  it('is not told to an owner who is alone, nor taken from what a node reports', () => {
    const items = [by('owner'), by('user:mallory', 'e-1')];
    expect(items.map(item => actorOf(item, items))).toEqual(['', '']);
  });
});
