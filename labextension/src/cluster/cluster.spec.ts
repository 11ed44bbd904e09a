import { Api } from '../api/client';
import { IConnections } from '../api/connections';
import { IStatus } from '../api/types';
import { EventStream } from '../events/stream';
import { Store } from '../store/store';
import { Sync } from '../store/sync';
import { FakeTransport } from '../testing/transport';
import { IHost } from '../host';
import { IBacalhau } from '../tokens';
import {
  ageLabel,
  cleanImages,
  cleanPackages,
  cleanResults,
  cleanUploads,
  disk,
  imageName,
  removeImage,
  usageText
} from './cleanUp';
import { changeLink, linkFacts } from './linking';
import { Connections, EMPTY_INPUT, inputOf, missing, sourceText, versionNotes } from './connections';

const trans = {
  __: (text: string, ...args: unknown[]) => text.replace(/%(\d)/g, (_, at) => String(args[Number(at) - 1]))
} as IBacalhau['trans'];
const settle = (ms = 60): Promise<void> => new Promise(done => setTimeout(done, ms));

function statusOf(url: string, more: Partial<IStatus> = {}): IStatus {
  const cluster = { url, source: 'profile other', embedded: false };
  return {
    version: '0.1.0',
    cluster,
    alive: true,
    node_version: 'v1.9',
    active_jobs: 0,
    problem: '',
    ...more
  };
}

function listOf(current: string, more: Partial<IConnections> = {}): IConnections {
  return {
    current,
    fixed_by: '',
    connections: [{ name: 'other', endpoint: 'http://b', has_token: true }],
    ...more
  };
}

function setUp(confirm = true): {
  app: IBacalhau;
  transport: FakeTransport;
  store: Store;
  errors: string[];
  questions: string[];
  connections: Connections;
} {
  const transport = new FakeTransport();
  let url = 'http://a';
  transport.answers.set('GET status', () => statusOf(url));
  transport.answers.set('GET api/v1/agent/node', () => ({
    NodeID: url === 'http://a' ? 'n-a' : 'n-b',
    Features: ['clean-up', 'events'],
    ComputeNodeInfo: { LocalResults: { Bytes: 1.5e9, Count: 2, Limit: 5e10 } }
  }));
  transport.answers.set('GET api/v1/orchestrator/jobs', () => ({
    Items: [{ ID: url === 'http://a' ? 'j-a' : 'j-b', CreateTime: 1e15 }]
  }));
  transport.answers.set('GET connections', () => listOf(''));
  transport.answers.set('PUT connections/current', () => {
    url = 'http://b';
    return listOf('other');
  });
  transport.answers.set('DELETE api/v1/compute/results', () => ({ Bytes: 1.5e9, Count: 2 }));
  const api = new Api(transport);
  const store = new Store(callback => callback());
  const sync = new Sync(api, new EventStream(transport), store, '0.1.0');
  const [errors, questions]: [string[], string[]] = [[], []];
  const host: IHost = {
    confirm: (_, text) => {
      questions.push(text);
      return Promise.resolve(confirm);
    },
    showError: (title, reason) => errors.push(`${title}: ${(reason as Error).message}`),
    copy: () => undefined
  };
  const app = { api, sync, store, host, trans } as unknown as IBacalhau;
  return { app, transport, store, errors, questions, connections: new Connections(app) };
}

describe('a switch', () => {
  it('forgets the old cluster and starts the stream anew on the other one', async () => {
    const { app, transport, store, connections } = setUp();
    app.sync.acquire('all');
    transport.last.open();
    await settle();
    expect(store.snapshot().order).toEqual(['j-a']);
    const old = transport.last;
    const generation = app.sync.generation.get();
    await connections.use('other');
    await settle();
    expect(old.closed).toBe(true);
    expect(transport.last).not.toBe(old);
    expect(transport.last.query).toEqual({});
    expect(store.snapshot().order).toEqual(['j-b']);
    expect(app.sync.node.get()?.NodeID).toBe('n-b');
    expect(app.sync.generation.get()).toBe(generation + 1);
  });

  it('by another page is noticed when the stream ends', async () => {
    const { app, transport, store } = setUp();
    app.sync.acquire('all');
    transport.last.open();
    await settle();
    transport.answers.set('GET status', () => statusOf('http://c'));
    transport.answers.set('GET api/v1/orchestrator/jobs', () => ({
      Items: [{ ID: 'j-c', CreateTime: 1e15 }]
    }));
    transport.last.end(1001);
    await settle();
    expect(store.snapshot().order).toEqual(['j-c']);
    expect(app.sync.generation.get()).toBe(1);
  });

  it('that fails shows the error and changes nothing', async () => {
    const { transport, errors, connections } = setUp();
    transport.answers.set('PUT connections/current', () => ({ status: 409, body: '{"Message":"fixed"}' }));
    await connections.use('other');
    expect(errors).toEqual(['The connection could not be switched: fixed']);
    expect(connections.switching.get()).toBe(false);
  });
});

describe('a connection', () => {
  it('starts its form without a token, and needs a name and an address', () => {
    expect(inputOf({ name: 'other', endpoint: 'http://b', has_token: true }).token).toBe('');
    expect(missing(EMPTY_INPUT, [], trans)).toContain('name');
    expect(missing({ ...EMPTY_INPUT, name: 'x' }, [], trans)).toContain('address');
    expect(missing({ ...EMPTY_INPUT, name: ' x ', endpoint: 'h' }, ['x'], trans)).toContain('already');
    expect(missing({ ...EMPTY_INPUT, name: 'x', endpoint: 'h' }, [], trans)).toBe('');
  });

  it('keeps its authority when it is edited', () => {
    expect(inputOf({ name: 'other', endpoint: 'https://b', ca_file: '/ca.pem' }).ca_file).toBe('/ca.pem');
  });

  it('that is in use is connected to anew when it was changed', async () => {
    const { transport, connections } = setUp();
    transport.answers.set('PUT connections', () => listOf('other'));
    await connections.save({ ...EMPTY_INPUT, name: 'other', endpoint: 'http://b', token: 't' });
    expect(transport.requests.map(({ method, path }) => `${method} ${path}`)).toContain(
      'PUT connections/current'
    );
  });

  it('is removed only after a question', async () => {
    const { transport, connections, questions } = setUp(false);
    await connections.remove('other');
    expect(questions.length).toBe(1);
    expect(transport.requests).toEqual([]);
  });
});

describe('words', () => {
  it('say who chose the cluster', () => {
    expect(sourceText(statusOf('u'), trans)).toBe('the saved connection “other”');
    const fixed = { url: 'u', source: 'BACALHAU_API_HOST', embedded: false };
    expect(sourceText(statusOf('u', { cluster: fixed }), trans)).toBe('BACALHAU_API_HOST');
    expect(sourceText(statusOf('u', { cluster: null }), trans)).toBe('no cluster');
  });

  it('explain versions that differ, and only those', () => {
    const node = { NodeID: 'n', JupyterVersion: '0.1.0' };
    expect(versionNotes(statusOf('u'), node, '0.1.0', trans)).toEqual([]);
    expect(versionNotes(statusOf('u'), { ...node, JupyterVersion: '0.0.9' }, '0.1.0', trans)[0]).toContain(
      '0.0.9'
    );
    expect(versionNotes(statusOf('u'), { NodeID: 'n' }, '0.1.0', trans)[0]).toContain('official Bacalhau');
    expect(versionNotes(statusOf('u'), node, '0.2.0', trans)[0]).toContain('restart the Jupyter server');
    expect(versionNotes(statusOf('u', { alive: false }), null, '0.1.0', trans)).toEqual([]);
  });
});

describe('cleaning up', () => {
  it('shows before what will be removed, and afterwards what was removed', async () => {
    const { app, transport, questions } = setUp();
    await app.sync.check();
    await settle();
    expect(await cleanResults(app, 86400)).toBe('Removed: 1.5 GB, 2 results');
    expect(questions[0]).toContain('older than a day');
    expect(questions[0]).toContain('1.5 GB, 2 results');
    const asked = transport.requests.find(({ method }) => method === 'DELETE');
    expect(asked?.query).toEqual({ older_than: 86400 });
  });

  it('does nothing without a confirmation, and shows errors', async () => {
    const refused = setUp(false);
    expect(await cleanResults(refused.app, 0)).toBe('');
    expect(refused.transport.requests).toEqual([]);
    const failing = setUp();
    failing.transport.answers.set('DELETE api/v1/compute/results', () => ({
      status: 500,
      body: '{"Message":"disk"}'
    }));
    expect(await cleanResults(failing.app, 0)).toBe('');
    expect(failing.errors[0]).toContain('disk');
  });

  it('removes uploads that no job refers to', async () => {
    const { app, transport } = setUp();
    transport.answers.set('DELETE api/v1/orchestrator/uploads', () => ({ Bytes: 3e9, Count: 1 }));
    expect(await cleanUploads(app)).toBe('Removed: 3.0 GB, 1 upload');
    expect(disk({ NodeID: 'n', Uploads: { Bytes: 1 } }).uploads).toEqual({ Bytes: 1 });
  });

  it('removes packages that no job uses', async () => {
    const { app, transport } = setUp();
    transport.answers.set('DELETE api/v1/compute/packages', () => ({ Bytes: 3e9, Count: 1 }));
    expect(await cleanPackages(app)).toBe('Removed: 3.0 GB, 1 set of packages');
    expect(disk({ NodeID: 'n', Packages: { Bytes: 1 } }).packages).toEqual({ Bytes: 1 });
  });

  it('removes images that no job uses', async () => {
    const { app, transport } = setUp();
    transport.answers.set('DELETE api/v1/compute/images', () => ({ Bytes: 3e9, Count: 2 }));
    expect(await cleanImages(app)).toBe('Removed: 3.0 GB, 2 images');
    expect(disk({ NodeID: 'n', Images: { Bytes: 1 } }).images).toEqual({ Bytes: 1 });
    transport.answers.set('DELETE api/v1/compute/images', () => ({ Bytes: 0, Count: 1 }));
    expect(await cleanImages(app)).toBe('Removed: 0 B, 1 image');
  });

  it('lists images and removes one of them by its ID', async () => {
    const { app, transport, questions } = setUp();
    const image = { ImageID: `sha256:${'a'.repeat(64)}`, Names: ['tools:1', 'tools@sha256:b'], Size: 2e6 };
    transport.answers.set('GET api/v1/compute/images', () => ({ Images: [image] }));
    transport.answers.set('POST api/v1/compute/images/remove', () => ({ Bytes: 2e6, Count: 1 }));
    expect(await app.api.disk.images()).toEqual([image]);
    expect(await removeImage(app, image)).toBe('Removed: 2.0 MB, 1 image');
    expect(questions[0]).toContain('tools:1 (2.0 MB) goes');
    expect(transport.requests.find(({ method }) => method === 'POST')?.body).toEqual({
      Image: image.ImageID
    });
    expect(imageName({ ImageID: image.ImageID })).toBe('a'.repeat(12));
    transport.answers.set('GET api/v1/compute/images', () => ({}));
    expect(await app.api.disk.images()).toEqual([]);
  });

  it('speaks of one and many', () => {
    expect(usageText({ Bytes: 0, Count: 0 }, String)).toBe('0 B, 0');
    expect(ageLabel(30 * 86400, trans)).toBe('older than 30 days');
  });
});

describe('the link to other nodes', () => {
  const open = { IsOpen: true, Address: 'nats://a:1', Link: { IsUp: true }, Nodes: 2 };

  it('says how nodes join, and where the token lies, never the token', () => {
    const facts = linkFacts({ ...open, NeedsToken: true, TokenFile: '/home/ada/cluster.token' }, trans);
    expect(facts).toEqual([
      ['Other nodes', 'join at nats://a:1'],
      ['Link', 'up'],
      ['Nodes that joined', '2'],
      ['Token', '/home/ada/cluster.token']
    ]);
    expect(linkFacts({ IsOpen: false, Link: { IsUp: false }, Nodes: 0 }, trans)[0]?.[1]).toContain('closed');
    const opening = { IsUp: false, Reason: 'the cluster is being opened' };
    expect(linkFacts({ IsOpen: false, Link: opening, Nodes: 0 }, trans)[0]?.[1]).toContain('in a moment');
    expect(linkFacts({ ...open, Link: opening }, trans)[1]?.[1]).toBe('opening');
    const down = { ...open, Link: { IsUp: false, Reason: 'port 1 is in use' }, OpenedBy: 'a key' };
    expect(linkFacts(down, trans)[1]?.[1]).toBe('down: port 1 is in use');
    expect(linkFacts(down, trans)[3]).toEqual(['Open because of', 'a key']);
  });

  it('opens and closes after a question only, and shows errors', async () => {
    const { app, transport, questions, errors } = setUp();
    transport.answers.set('POST api/v1/cluster/open', () => open);
    expect(await changeLink(app, true)).toEqual(open);
    expect(questions[0]).toContain('see what is in them');
    transport.answers.set('POST api/v1/cluster/close', () => ({ status: 409, body: '{"Message":"fixed"}' }));
    expect(await changeLink(app, false)).toBeNull();
    expect(errors[0]).toContain('fixed');
    const refused = setUp(false);
    expect(await changeLink(refused.app, true)).toBeNull();
    expect(refused.transport.requests).toEqual([]);
  });
});
