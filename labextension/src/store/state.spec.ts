import { IJob, IStreamEvent } from '../api/types';
import { atWork } from '../format/place';
import { trans } from '../page/words';
import { count, EMPTY, IState, phaseOf, reduce } from './state';

const SECOND = 1e9;
const START = Date.parse('2026-01-01T00:00:00Z') * 1e6;

function job(id: string, second: number, state: 'Pending' | 'Running' | 'Completed' = 'Pending'): IJob {
  return {
    ID: id,
    Name: id,
    Version: 1,
    State: { StateType: state },
    CreateTime: START + second * SECOND,
    ModifyTime: START + second * SECOND
  };
}

function event(id: string, second: number, more: Partial<IStreamEvent> = {}): IStreamEvent {
  const time = new Date(START / 1e6 + second * 1000).toISOString();
  return { seq: second + 1, time, topic: 'State Update', message: '', job: id, ...more };
}

function after(...jobs: IJob[]): IState {
  return reduce(EMPTY, [{ type: 'jobs', jobs }]);
}

describe('reduce', () => {
  it('orders jobs newest first, each once', () => {
    const state = reduce(after(job('a', 1), job('b', 3)), [
      { type: 'jobs', jobs: [job('c', 2), job('a', 1)] }
    ]);
    expect(state.order).toEqual(['b', 'c', 'a']);
  });

  it('never changes what it was given', () => {
    const before = after(job('a', 1));
    const entry = before.jobs.get('a');
    const state = reduce(before, [
      { type: 'event', event: event('a', 5, { state: 'Running', node: 'n-1' }) }
    ]);
    expect(before.jobs.get('a')).toBe(entry);
    expect(state.jobs.get('a')).toMatchObject({ state: 'Running', node: 'n-1' });
    expect(state.order).toBe(before.order);
  });

  it('keeps the newer state whichever of list and event came last', () => {
    const finished = reduce(after(job('a', 1)), [
      { type: 'event', event: event('a', 9, { state: 'Completed' }) },
      { type: 'jobs', jobs: [job('a', 1, 'Pending')] }
    ]);
    expect(finished.jobs.get('a')?.state).toBe('Completed');
    const late = { ...job('a', 1, 'Completed'), ModifyTime: START + 9 * SECOND };
    const listed = reduce(after(late), [{ type: 'event', event: event('a', 5, { state: 'Running' }) }]);
    expect(listed.jobs.get('a')?.state).toBe('Completed');
  });

  it('takes a rerun as a job under way again', () => {
    const again = { ...job('a', 1, 'Running'), Version: 2, ModifyTime: START + 20 * SECOND };
    const state = reduce(after({ ...job('a', 1, 'Completed'), ModifyTime: START + 9 * SECOND }), [
      { type: 'jobs', jobs: [again] }
    ]);
    expect(state.jobs.get('a')?.state).toBe('Running');
  });

  it('shows progress while a job is under way and drops it at the end', () => {
    const details = { Phase: 'pulling image', Done: '45', Total: '100' };
    const progress = event('a', 2, { seq: 0, topic: 'Progress', details });
    const busy = reduce(after(job('a', 1)), [{ type: 'event', event: progress }]);
    expect(busy.jobs.get('a')?.phase).toBe('pulling image 45 %');
    const over = reduce(busy, [
      { type: 'event', event: event('a', 3, { state: 'Completed' }) },
      { type: 'event', event: progress }
    ]);
    expect(over.jobs.get('a')?.phase).toBe('');
  });

  it('shows how much of what goes to a Docker host is there', () => {
    const details = { Phase: 'copying image', Done: '120000000', Total: '253000000' };
    const node = 'n-761f5690-d9cb-416a-be49-a0a336e0a202-gpu1';
    const progress = event('a', 2, { seq: 0, topic: 'Progress', details, node });
    const phase = reduce(after(job('a', 1)), [{ type: 'event', event: progress }]).jobs.get('a')?.phase ?? '';
    expect(phase).toBe('copying image 120/253 MB');
    expect(atWork(node, phase, trans)).toBe('on gpu1 (copying image 120/253 MB)');
    expect(atWork('n-1', phase, trans)).toBe(phase);
    const away = { Phase: 'running', Note: 'gpu1 does not answer since 14:03' };
    expect(atWork(node, phaseOf(event('a', 3, { topic: 'Progress', details: away, node })), trans)).toBe(
      'gpu1 does not answer since 14:03'
    );
    expect([atWork(node, '', trans), atWork(node, 'running', trans)]).toEqual(['', 'running']);
  });

  it('ignores events of jobs it does not know', () => {
    const before = after(job('a', 1));
    expect(reduce(before, [{ type: 'event', event: event('x', 2) }]).jobs).toBe(before.jobs);
  });

  it('learns the node from the newest execution', () => {
    const executions = [
      { ID: 'e-1', NodeID: 'n-1', CreateTime: 1 },
      { ID: 'e-2', NodeID: 'n-2', CreateTime: 2 }
    ];
    const state = reduce(after(job('a', 1)), [{ type: 'executions', job: 'a', executions }]);
    expect(state.jobs.get('a')?.node).toBe('n-2');
  });

  it('counts what runs and what waits', () => {
    expect(count(after(job('a', 1), job('b', 2, 'Running'), job('c', 3, 'Completed')))).toEqual({
      running: 1,
      queued: 1
    });
  });

  it('takes a burst of 10 000 events in a batch quickly', () => {
    const jobs = Array.from({ length: 10_000 }, (_, at) => job(`j-${at}`, at));
    const before = after(...jobs);
    const started = performance.now();
    const state = reduce(
      before,
      jobs.map(({ ID }, at) => ({ type: 'event' as const, event: event(ID, at + 1, { state: 'Running' }) }))
    );
    expect(count(state).running).toBe(10_000);
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('phaseOf', () => {
  it('says in words what an event means', () => {
    expect(phaseOf(event('a', 1, { topic: 'Queueing', message: 'Job queued. no room\n• n-1' }))).toBe(
      'no room'
    );
    expect(phaseOf(event('a', 1, { topic: 'Scheduling', execution: 'e-1' }))).toBe('asking for bids');
    const again = { Again: 'host gpu1 was restarted' };
    expect(phaseOf(event('a', 1, { topic: 'Scheduling', execution: 'e-1', details: again }))).toBe(
      'asking for bids, to begin again: host gpu1 was restarted'
    );
    const packing = { Phase: 'packing', Done: '45', Total: '100', Note: '61 MB/s' };
    expect(phaseOf(event('a', 1, { topic: 'Progress', details: packing }))).toBe('packing 45 %, 61 MB/s');
    expect(phaseOf(event('a', 1, { topic: 'Progress', details: { Phase: 'publishing' } }))).toBe(
      'publishing'
    );
  });
});
