import { INodeState, IStreamEvent } from '../api/types';
import { Tabs } from '../tokens';
import { Observable } from './signal';
import { EMPTY, reduce } from './state';
import { nextFrame, Store } from './store';

describe('Store', () => {
  it('applies a burst together, and tells each listener once', () => {
    const due: (() => void)[] = [];
    const store = new Store(callback => due.push(callback));
    let calls = 0;
    store.subscribe(() => (calls += 1));
    for (let at = 0; at < 100; at++) {
      store.dispatch({ type: 'jobs', jobs: [{ ID: `j${at}` }] });
    }
    expect([due.length, calls, store.snapshot().jobs.size]).toEqual([1, 0, 0]);
    due.forEach(callback => callback());
    expect([calls, store.snapshot().jobs.size]).toEqual([1, 100]);
  });

  it('tells nobody when nothing changed, and nobody who has left', () => {
    const store = new Store(callback => callback());
    let calls = 0;
    const leave = store.subscribe(() => (calls += 1));
    store.dispatch({ type: 'gone', jobs: ['unknown'] });
    store.dispatch();
    leave();
    store.dispatch({ type: 'jobs', jobs: [{ ID: 'j' }] });
    expect(calls).toBe(0);
  });

  it('calls back once, although frames stand still', () => {
    jest.useFakeTimers();
    let calls = 0;
    nextFrame(() => (calls += 1));
    jest.advanceTimersByTime(1000);
    expect(calls).toBe(1);
    jest.useRealTimers();
  });
});

describe('Observable', () => {
  it('tells of another value only, and lets listeners leave while it tells', () => {
    const value = new Observable(1);
    const seen: string[] = [];
    const leave = value.subscribe(() => {
      seen.push('one');
      leave();
    });
    value.subscribe(() => seen.push('two'));
    value.set(1);
    value.set(2);
    value.set(3);
    expect(seen).toEqual(['one', 'two', 'two']);
  });
});

it('tabs stand in their order, whoever comes first, and leave alone', () => {
  const tabs = new Tabs();
  const tab = (id: string, rank: number) => ({ id, rank, label: id, Component: () => null });
  const leave = tabs.add(tab('b', 20));
  tabs.add(tab('a', 10));
  tabs.add(tab('b', 20));
  expect(tabs.all.get().map(known => known.id)).toEqual(['a', 'b', 'b']);
  leave();
  leave();
  expect(tabs.all.get().map(known => known.id)).toEqual(['a', 'b']);
});

describe('a batch with one broken action', () => {
  it('still takes the others', () => {
    const nodes = [null, {}, { Info: {} }, { Info: { NodeID: '__proto__' } }] as INodeState[];
    const event = { seq: 2, time: 'never', topic: 'Queueing', job: 'j' } as IStreamEvent;
    const state = reduce(EMPTY, [
      { type: 'jobs', jobs: [{ ID: 'j' }, null, {}, { ID: 7 }] as { ID: string }[] },
      { type: 'nodes', nodes },
      { type: 'event', event },
      { type: 'jobs', jobs: [{ ID: '__proto__' }, { ID: 'constructor' }] }
    ]);
    expect([...state.jobs.keys()].sort()).toEqual(['__proto__', 'constructor', 'j']);
    expect([...state.order].sort()).toEqual(['__proto__', 'constructor', 'j']);
    expect([...state.nodes.keys()]).toEqual(['__proto__']);
  });
});
