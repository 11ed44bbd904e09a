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
  const api = new Api(transport);
  const store = new Store(callback => callback());
  return { transport, store, sync: new Sync(api, new EventStream(transport), store, '0.1.0') };
}

describe('Sync', () => {
  it('asks for nothing until somebody is interested, and leaves nothing open afterwards', async () => {
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
