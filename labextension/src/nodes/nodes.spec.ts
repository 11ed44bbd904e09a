import { Api } from '../api/client';
import { INodeState } from '../api/types';
import { EventStream } from '../events/stream';
import { Store } from '../store/store';
import { Sync } from '../store/sync';
import { FakeTransport } from '../testing/transport';
import {
  actions,
  engines,
  forPeople,
  gpuProblems,
  gpus,
  matches,
  meters,
  moment,
  problems,
  sorted
} from './nodes';
import { NodesWatch } from './watch';

const trans = {
  __: (text: string, ...args: unknown[]) => text.replace(/%(\d)/g, (_, at) => String(args[Number(at) - 1]))
};

function node(id: string, more: Partial<INodeState> = {}): INodeState {
  return {
    Info: {
      NodeID: id,
      Labels: { name: id, zone: 'eu' },
      ComputeNodeInfo: {
        ExecutionEngines: ['process'],
        EngineRuntimes: { process: 'bubblewrap 0.11.0' },
        EngineProblems: { docker: 'no Docker daemon answers' },
        MaxCapacity: { CPU: 4, Memory: 8e9, Disk: 1e11 },
        AvailableCapacity: { CPU: 2.5, Memory: 8e9, Disk: 4e10 }
      }
    },
    Membership: 'APPROVED',
    Connection: 'CONNECTED',
    ...more
  };
}

describe('meters', () => {
  it('say how much is taken, of what there is', () => {
    expect(meters(node('a').Info, trans).map(meter => [meter.kind, meter.used, meter.text])).toEqual([
      ['cpu', 1.5, '1.5 of 4'],
      ['memory', 0, '0 B of 8.0 GB'],
      ['disk', 6e10, '60 GB of 100 GB']
    ]);
  });

  it('show GPUs only where there are any', () => {
    const info = { NodeID: 'g', ComputeNodeInfo: { MaxCapacity: { GPU: 2 }, AvailableCapacity: { GPU: 1 } } };
    expect(meters(info, trans).map(meter => [meter.kind, meter.text])).toEqual([['gpu', '1 of 2']]);
    expect(meters({ NodeID: 'x' }, trans)).toEqual([]);
  });

  it('stay between zero and the total, whatever a node reports', () => {
    const odd = { MaxCapacity: { CPU: 2 }, AvailableCapacity: { CPU: 5 } };
    expect(meters({ NodeID: 'x', ComputeNodeInfo: odd }, trans)[0]?.used).toBe(0);
  });
});

describe('GPUs', () => {
  const t4 = { Vendor: 'NVIDIA', Name: 'Tesla T4', Memory: 15360 };
  const amd = { Index: 0, Vendor: 'AMD/ATI', Name: 'MI210', Memory: 65520 };
  const most = { GPU: 3, GPUs: [{ Index: 0, ...t4 }, { Index: 1, ...t4 }, amd] };

  it('are listed with model, memory and whether they are free, told apart by vendor and index', () => {
    const info = {
      NodeID: 'g',
      ComputeNodeInfo: { MaxCapacity: most, AvailableCapacity: { GPU: 2, GPUs: [{ Index: 1, ...t4 }, amd] } }
    };
    expect(gpus(info, trans)).toEqual([
      { text: 'Tesla T4 · 16 GB', isFree: false },
      { text: 'Tesla T4 · 16 GB', isFree: true },
      { text: 'MI210 · 69 GB', isFree: true }
    ]);
  });

  it('say nothing of their use where the node tells only how many are free', () => {
    const info = { NodeID: 'g', ComputeNodeInfo: { MaxCapacity: most, AvailableCapacity: { GPU: 2 } } };
    expect(gpus(info, trans).map(gpu => gpu.isFree)).toEqual([null, null, null]);
    expect(gpus({ NodeID: 'x' }, trans)).toEqual([]);
  });

  it('that can not be found or given to jobs have a reason', () => {
    const info = { NodeID: 'g', ComputeNodeInfo: { GPUProblems: { docker: 'it has no GPU runtime' } } };
    expect(gpuProblems(info)).toEqual([{ task: 'docker', message: 'it has no GPU runtime' }]);
    expect(gpuProblems({ NodeID: 'x' })).toEqual([]);
  });
});

describe('a node', () => {
  it('lists the problems of its background work', () => {
    const info = { ComputeNodeInfo: { Problems: { 'removing old results': 'read-only file system' } } };
    expect(problems({ NodeID: 'a', ...info })).toEqual([
      { task: 'removing old results', message: 'read-only file system' }
    ]);
    expect(problems(node('a').Info)).toEqual([]);
  });

  it('keeps what does nothing to itself', () => {
    const info = {
      NodeID: 'a',
      ComputeNodeInfo: { ExecutionEngines: ['noop', 'process'], EngineProblems: { noop: 'off' } }
    };
    expect(engines(info).map(engine => engine.name)).toEqual(['process']);
    expect(forPeople(['s3', 'noop', 'local'])).toEqual(['local', 's3']);
  });

  it('lists its runtimes, and why an engine is off', () => {
    expect(engines(node('a').Info)).toEqual([
      { name: 'process', runtime: 'bubblewrap 0.11.0', problem: '' },
      { name: 'docker', runtime: '', problem: 'no Docker daemon answers' }
    ]);
  });

  it.each([
    ['our own one', node('own'), []],
    ['another one that works', node('b'), ['reject']],
    ['one that waits', node('b', { Membership: 'PENDING' }), ['approve', 'reject']],
    ['one that was rejected', node('b', { Membership: 'REJECTED' }), ['approve', 'delete']],
    ['one that is away', node('b', { Connection: 'DISCONNECTED' }), ['reject', 'delete']]
  ])('offers for %s what would have an effect', (_, state, expected) => {
    expect(actions(state, 'own')).toEqual(expected);
    expect(actions(state, '')).toEqual([]);
  });

  it('is sorted and found', () => {
    const away = node('a', { Connection: 'DISCONNECTED' });
    expect(sorted([away, node('c'), node('b')]).map(known => known.Info.NodeID)).toEqual(['b', 'c', 'a']);
    expect(matches(away, 'zone=eu disconnected')).toBe(true);
    expect(matches(away, 'zone=us')).toBe(false);
  });

  it('was heard at a local time, or never', () => {
    const now = new Date('2026-03-01T12:00:00Z');
    expect(moment('2026-03-01T11:59:00.123456789Z', now)).toBe(
      new Date('2026-03-01T11:59:00Z').toLocaleTimeString()
    );
    expect(moment('0001-01-01T00:00:00Z', now)).toBe('');
    expect(moment(undefined, now)).toBe('');
  });
});

describe('NodesWatch', () => {
  const settle = (ms: number): Promise<void> => new Promise(done => setTimeout(done, ms));

  it('reads when it begins and after news, not more often than once a second, and nothing when it has ended', async () => {
    const transport = new FakeTransport();
    transport.answers.set('GET api/v1/orchestrator/nodes', () => ({ Nodes: [node('a')] }));
    const api = new Api(transport);
    const store = new Store(callback => callback());
    const sync = new Sync(api, new EventStream(transport), store, '0.1.0');
    const asked = (): number => transport.requests.filter(({ path }) => path.endsWith('/nodes')).length;
    const stop = new NodesWatch({ api, store, sync }).start();
    transport.last.open();
    await settle(1100);
    const before = asked();
    expect(store.snapshot().nodes.size).toBe(1);
    for (let at = 0; at < 5; at++) {
      transport.last.send({ seq: 0, time: '', topic: 'Node', message: 'Node left', job: '', node: 'a' });
      transport.last.send({ seq: 0, time: '', topic: 'Progress', message: '', job: 'j' });
    }
    await settle(1000);
    expect(asked()).toBe(before + 1);
    stop();
    transport.last.send({ seq: 0, time: '', topic: 'Node', message: 'Node left', job: '', node: 'a' });
    await settle(1200);
    expect(asked()).toBe(before + 1);
    expect(transport.last.closed).toBe(true);
  });

  describe('whose reading takes longer than the time between two of them', () => {
    beforeEach(() => jest.useFakeTimers());
    afterEach(() => jest.useRealTimers());

    it('reads it to its end whatever happens, and once more after news', async () => {
      const transport = new FakeTransport();
      const api = new Api(transport);
      const sync = new Sync(api, new EventStream(transport), new Store(), '0.1.0');
      const ends: (() => void)[] = [];
      const signals: AbortSignal[] = [];
      const load = (signal: AbortSignal): Promise<void> => {
        signals.push(signal);
        return new Promise(done => ends.push(done));
      };
      const watch = new NodesWatch({ api, store: new Store(), sync }, load);
      const stop = watch.start();
      transport.last.open();
      for (let at = 0; at < 10; at++) {
        transport.last.send({ seq: 0, time: '', topic: 'Node', message: 'Node left', job: '', node: 'a' });
        await jest.advanceTimersByTimeAsync(500);
      }
      expect(signals.map(signal => signal.aborted)).toEqual([false]);
      ends[0]?.();
      await jest.advanceTimersByTimeAsync(0);
      expect(watch.ready.get()).toBe(true);
      await jest.advanceTimersByTimeAsync(60_000);
      expect(signals.map(signal => signal.aborted)).toEqual([false, false]);
      // What is read of a cluster that was left is worth nothing.
      sync.generation.set(1);
      expect(signals.map(signal => signal.aborted)).toEqual([false, true]);
      stop();
    });
  });
});
