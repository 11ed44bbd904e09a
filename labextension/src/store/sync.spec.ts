import { Api } from '../api/client';
import { EventStream } from '../events/stream';
import { FakeTransport } from '../testing/transport';
import { Store } from './store';
import { Sync } from './sync';

const STATUS = {
  version: '0.1.0',
  cluster: { url: 'u', source: 's', embedded: true },
  alive: true,
  node_version: 'v',
  active_jobs: 0,
  problem: ''
};
const settle = (): Promise<void> => new Promise(done => setTimeout(done, 60));

function setUp(): { transport: FakeTransport; store: Store; sync: Sync } {
  const transport = new FakeTransport();
  transport.answers.set('GET status', () => STATUS);
  transport.answers.set('GET api/v1/orchestrator/jobs', query =>
    query.next_token
      ? { Items: [{ ID: 'old', CreateTime: 1 }], NextToken: '' }
      : { Items: [{ ID: 'new', CreateTime: 2e15 }], NextToken: 'more' }
  );
  transport.answers.set('GET api/v1/agent/node', () => ({ NodeID: 'n', Features: ['events'] }));
  const api = new Api(transport);
  const store = new Store(callback => callback());
  return { transport, store, sync: new Sync(api, new EventStream(transport), store, '0.1.0') };
}

describe('Sync', () => {
  it('requests nothing without a consumer, and leaves nothing open afterwards', async () => {
    const { transport, sync } = setUp();
    expect(transport.requests.length + transport.sockets.length).toBe(0);
    const release = sync.acquire('active');
    transport.last.open();
    await settle();
    release();
    expect(transport.last.closed).toBe(true);
    const asked = transport.requests.length;
    await settle();
    expect(transport.requests.length).toBe(asked);
  });

  it('reads one page for counts and all pages for the list', async () => {
    const { transport, store, sync } = setUp();
    sync.acquire('active');
    transport.last.open();
    await settle();
    expect(store.snapshot().order).toEqual(['new']);
    sync.acquire('all');
    await settle();
    expect(store.snapshot().order).toEqual(['new', 'old']);
    expect(store.snapshot().complete).toBe(true);
  });

  it('asks for a job that an event names and the list lacks', async () => {
    const { transport, store, sync } = setUp();
    transport.answers.set('GET api/v1/orchestrator/jobs/j-9', () => ({
      Job: { ID: 'j-9', CreateTime: 3e15 }
    }));
    sync.acquire('active');
    transport.last.open();
    await settle();
    transport.last.send({ seq: 1, time: '', topic: 'Submission', message: '', job: 'j-9' });
    await settle();
    expect(store.snapshot().order[0]).toBe('j-9');
  });

  it('asks for executions again when an event came before the answer', async () => {
    const { transport, store, sync } = setUp();
    let answer = (): void => undefined;
    const states = [3, 7];
    transport.answers.set('GET api/v1/orchestrator/jobs/new/executions', async () => {
      const state = states.shift();
      if (state === 3) {
        await new Promise<void>(done => (answer = done));
      }
      return { Items: [{ ID: 'e', NodeID: 'n', ComputeState: { StateType: state } }] };
    });
    sync.acquire('active');
    transport.last.open();
    await settle();
    sync.wantExecutions('new');
    await settle();
    transport.last.send({ seq: 1, time: '', topic: 'Execution', message: '', job: 'new', execution: 'e' });
    answer();
    await settle();
    const executions = store.snapshot().jobs.get('new')?.executions ?? [];
    expect(executions.map(execution => execution.ComputeState?.StateType)).toEqual([7]);
    expect(states).toEqual([]);
  });

  it('reads the rest of the list when it was left before the end and comes back to a replay', async () => {
    const { transport, store, sync } = setUp();
    const leave = sync.acquire('active');
    transport.last.open();
    await settle();
    transport.last.send({ seq: 1, time: '', topic: 'Submission', message: '', job: 'new' });
    leave();
    sync.acquire('all');
    transport.last.open();
    await settle();
    expect(transport.last.query).toEqual({ since: 1 });
    expect(store.snapshot().complete).toBe(true);
  });

  it('forgets jobs that are not there any more, whoever removed them', async () => {
    const { transport, store, sync } = setUp();
    sync.acquire('all');
    transport.last.open();
    await settle();
    transport.answers.set('GET api/v1/orchestrator/jobs', () => ({
      Items: [{ ID: 'old', CreateTime: 1 }],
      NextToken: ''
    }));
    await sync.refresh();
    store.flush();
    expect(store.snapshot().order).toEqual(['old']);
  });

  it('asks again for a job that could not be read, because its event does not come again', async () => {
    jest.useFakeTimers();
    try {
      const { transport, store, sync } = setUp();
      sync.acquire('active');
      transport.last.open();
      await jest.advanceTimersByTimeAsync(100);
      transport.answers.set('GET api/v1/orchestrator/jobs/j-9', () => ({ status: 502, body: '{}' }));
      transport.last.send({ seq: 1, time: '', topic: 'Submission', message: '', job: 'j-9' });
      await jest.advanceTimersByTimeAsync(100);
      expect(store.snapshot().jobs.has('j-9')).toBe(false);
      transport.answers.set('GET api/v1/orchestrator/jobs/j-9', () => ({
        Job: { ID: 'j-9', CreateTime: 3e15 }
      }));
      await jest.advanceTimersByTimeAsync(5000);
      expect(store.snapshot().jobs.has('j-9')).toBe(true);
    } finally {
      jest.useRealTimers();
    }
  });

  it('resets and reads again when another page switched the cluster', async () => {
    const { transport, store, sync } = setUp();
    sync.acquire('all');
    transport.last.open();
    await settle();
    transport.last.send({ seq: 80, time: '', topic: 'Submission', message: '', job: 'new' });
    transport.answers.set('GET status', () => ({ ...STATUS, cluster: { ...STATUS.cluster, url: 'other' } }));
    transport.answers.set('GET api/v1/orchestrator/jobs', () => ({
      Items: [{ ID: 'elsewhere', CreateTime: 5 }],
      NextToken: ''
    }));
    transport.last.end(1001);
    await settle();
    expect(store.snapshot().order).toEqual(['elsewhere']);
    expect(sync.generation.get()).toBe(1);
    expect(transport.last.query).toEqual({});
  });

  it('does not hammer a stream that is refused while all else is well', async () => {
    const { transport, sync } = setUp();
    sync.acquire('active');
    transport.last.end(1006);
    await settle();
    const before = transport.sockets.length;
    transport.last.end(1006);
    await settle();
    expect(transport.sockets.length - before).toBeLessThanOrEqual(1);
  });

  it('is healthy again once the stream opens after an outage', async () => {
    const { transport, sync } = setUp();
    transport.answers.set('GET status', () => ({ ...STATUS, alive: false }));
    sync.acquire('active');
    await settle();
    expect(sync.health.get().kind).toBe('down');
    transport.answers.set('GET status', () => STATUS);
    transport.last.open();
    await settle();
    expect(sync.health.get().kind).toBe('ok');
  });

  it('asks a cluster without events from time to time, and only while the list is on screen', async () => {
    jest.useFakeTimers();
    try {
      const { transport, store, sync } = setUp();
      transport.answers.set('GET api/v1/agent/node', () => ({ NodeID: 'n', Features: [] }));
      sync.acquire('active');
      await jest.advanceTimersByTimeAsync(100);
      expect(transport.last.closed).toBe(true);
      const sockets = transport.sockets.length;
      const quiet = transport.requests.length;
      await jest.advanceTimersByTimeAsync(60_000);
      expect(transport.requests.length).toBe(quiet);
      const release = sync.acquire('all');
      await jest.advanceTimersByTimeAsync(100);
      transport.answers.set('GET api/v1/orchestrator/jobs', () => ({
        Items: [{ ID: 'newer', CreateTime: 3e15 }],
        NextToken: 'more'
      }));
      await jest.advanceTimersByTimeAsync(11_000);
      expect(store.snapshot().order).toEqual(['newer', 'new', 'old']);
      release();
      const left = transport.requests.length;
      await jest.advanceTimersByTimeAsync(60_000);
      expect(transport.requests.length).toBe(left);
      expect(transport.sockets.length).toBe(sockets);
    } finally {
      jest.useRealTimers();
    }
  });

  describe('of a cluster without events', () => {
    const job = (state: string): object => ({
      ID: 'new',
      CreateTime: 2e15,
      ModifyTime: state === 'Running' ? 3e15 : 4e15,
      Version: 1,
      State: { StateType: state }
    });

    beforeEach(() => jest.useFakeTimers());
    afterEach(() => jest.useRealTimers());

    it('follows a job that goes on, and tells how it ended', async () => {
      const { transport, store, sync } = setUp();
      transport.answers.set('GET api/v1/agent/node', () => ({ NodeID: 'n', Features: [] }));
      let state = 'Running';
      transport.answers.set('GET api/v1/orchestrator/jobs', () => ({ Items: [job(state)], NextToken: '' }));
      transport.answers.set('GET api/v1/orchestrator/jobs/new/executions', () => ({
        Items: [{ ID: 'e', ComputeState: { StateType: 7 }, RunOutput: { ExitCode: 3, stderr: 'boom' } }]
      }));
      const heard: unknown[] = [];
      sync.watchers.add((event, before) => heard.push([before?.state, event.state, event.details]));
      sync.acquire('active');
      await jest.advanceTimersByTimeAsync(6000);
      state = 'Completed';
      await jest.advanceTimersByTimeAsync(6000);
      store.flush();
      expect(store.snapshot().jobs.get('new')?.outcome).toBe('failed');
      expect(heard).toEqual([['Running', 'Completed', { ExitCode: '3', Error: 'boom' }]]);
      const quiet = transport.requests.length;
      await jest.advanceTimersByTimeAsync(60_000);
      expect(transport.requests.length).toBe(quiet);
    });

    it('follows an old job, too, that the newest page does not have', async () => {
      const { transport, store, sync } = setUp();
      transport.answers.set('GET api/v1/agent/node', () => ({ NodeID: 'n', Features: [] }));
      transport.answers.set('GET api/v1/orchestrator/jobs', () => ({ Items: [], NextToken: 'more' }));
      transport.answers.set('GET api/v1/orchestrator/jobs/new', () => ({ Job: job('Completed') }));
      sync.acquire('active');
      await jest.advanceTimersByTimeAsync(100);
      store.dispatch({ type: 'jobs', jobs: [job('Running') as never] });
      await jest.advanceTimersByTimeAsync(6000);
      expect(store.snapshot().jobs.get('new')?.state).toBe('Completed');
    });
  });

  it('takes no answer of another cluster for that of the one which it shows', async () => {
    const { transport, sync } = setUp();
    sync.acquire('active');
    transport.last.open();
    await settle();
    expect(sync.node.get()?.NodeID).toBe('n');
    // Somebody switches elsewhere; no stream has ended yet.
    transport.answers.set('GET status', () => ({ ...STATUS, cluster: { url: 'other', source: 's' } }));
    transport.answers.set('GET api/v1/agent/node', () => ({ NodeID: 'n-other', Features: ['events'] }));
    const shown: unknown[] = [];
    sync.node.subscribe(() => shown.push([sync.generation.get(), sync.node.get()?.NodeID]));
    await sync.readNode();
    await settle();
    expect(shown).not.toContainEqual([0, 'n-other']);
    expect([sync.generation.get(), sync.node.get()?.NodeID]).toEqual([1, 'n-other']);
  });

  it.each([
    ['missing', { status: 404, body: '<html>404</html>' }],
    ['missing', { status: 404, body: '{"message": "not found"}' }],
    ['mismatch', { ...STATUS, version: '0.2.0' }],
    ['down', { ...STATUS, alive: false, problem: 'the node is gone' }],
    ['failed', { status: 403, body: '{"Message":"no","Code":"Forbidden"}' }]
  ])('tells %s', async (kind, answer) => {
    const { transport, sync } = setUp();
    transport.answers.set('GET status', () => answer);
    await sync.check();
    expect(sync.health.get().kind).toBe(kind);
  });
});
