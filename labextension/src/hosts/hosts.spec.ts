import { HostsApi, IHostRecord } from '../api/hosts';
import { trans } from '../page/words';
import { FakeTransport } from '../testing/transport';
import { change, remove } from './actions';
import { remainsLine } from './Cleaning';
import { choices, EMPTY_HOST, orderOf, wantsCertificates } from './form';
import {
  amounts,
  factsOf,
  gpuLines,
  lookOf,
  machineLine,
  matchesHost,
  otherLine,
  sortedHosts,
  verbs
} from './hosts';
import { IBacalhau } from '../tokens';

const NODE = 'n-761f5690-d9cb-416a-be49-a0a336e0a202-gpu1';
const GPUS = [
  { Index: 0, Vendor: 'NVIDIA', Name: 'A100', Memory: 81920 },
  { Index: 1, Vendor: 'NVIDIA', Name: 'A100', Memory: 81920 },
  { Index: 2, Vendor: 'NVIDIA', Name: 'A100', Memory: 81920 }
];

function host(more: Partial<IHostRecord> = {}): IHostRecord {
  return {
    Name: 'gpu1',
    URL: 'ssh://alice@gpu1',
    State: 'Ready',
    NodeID: NODE,
    Labels: { room: 'basement' },
    Capacity: { CPU: 16, Memory: 64e9, GPU: 3, GPUs: GPUS },
    Free: { CPU: 14, Memory: 60e9, GPU: 2, GPUs: GPUS.slice(1) },
    Facts: {
      Resources: { CPU: 20, Memory: 80e9 },
      Taken: { CPU: 2, Memory: 4e9, GPUs: GPUS.slice(2) },
      Engine: '28.2.2',
      OS: 'linux',
      Architecture: 'amd64',
      Load: 3.25,
      FreeMemory: 12e9,
      SkewMs: 65_000,
      RoundTripMs: 41.7
    },
    ...more
  };
}

describe('a host', () => {
  it.each([
    ['Ready', '✓', 'Completed', ['test', 'pause', 'clean', 'remove']],
    ['Connecting', '▶', 'Running', ['test', 'retry', 'pause', 'remove']],
    ['Unreachable', '✕', 'Failed', ['test', 'retry', 'pause', 'remove']],
    ['Refused', '✕', 'Failed', ['test', 'retry', 'pause', 'remove']],
    ['Paused', '■', 'Stopped', ['test', 'resume', 'remove']],
    ['Removing', '■', 'Stopped', ['test', 'retry', 'remove']],
    // A newer node may have other words; they are shown, and nothing of them is believed.
    ['\u202easleep', '○', 'Running', ['test', 'retry', 'pause', 'remove']]
  ])('that is %s looks so, and can be treated so', (state, sign, like, expected) => {
    expect(lookOf(state, trans)).toMatchObject({ sign, like });
    expect(lookOf(state, trans).label).not.toContain('\u202e');
    expect(verbs(host({ State: state }))).toEqual(expected);
  });

  it('says which of its GPUs are free, in use, and held by others', () => {
    const lines = gpuLines(host(), trans);
    expect(lines.map(line => line.text)).toEqual(Array(3).fill('A100 · 86 GB'));
    expect(lines.map(line => [line.isFree, line.held])).toEqual([
      [false, false],
      [true, false],
      [true, true]
    ]);
    // What is free of a host that is away, nobody knows.
    const away = gpuLines(host({ State: 'Unreachable', Free: {} }), trans);
    expect(away.map(line => line.isFree)).toEqual([null, null, null]);
  });

  it('says how busy its machine is', () => {
    expect(machineLine(host().Facts, trans)).toBe(
      '20 CPU · load 3.3 · 12 GB of 80 GB memory free · others hold 2 CPU · 4.0 GB · 1 GPU'
    );
    expect(machineLine({ Load: -1 }, trans)).toBe('');
    expect(machineLine(null, trans)).toBe('');
    expect(amounts({ CPU: NaN, Memory: -1 }, trans)).toBe('');
  });

  it('tells of a clock that is off, in which direction', () => {
    const clock = (SkewMs: number): string =>
      new Map(factsOf(host({ Facts: { SkewMs } }), trans)).get('Clock') ?? '';
    expect([clock(4999), clock(5000), clock(-3_600_000), clock(NaN)]).toEqual([
      '',
      '5 s ahead',
      '60 min behind',
      ''
    ]);
    expect(new Map(factsOf(host(), trans)).get('Round trip')).toBe('42 ms');
  });

  it('is found by what it is called, where it is, and how it stands', () => {
    for (const text of ['', 'gpu1', 'host=gpu1', 'room=basement READY', 'alice@']) {
      expect(matchesHost(host(), text)).toBe(true);
    }
    expect(matchesHost(host(), 'undefined')).toBe(false);
    expect(matchesHost(host(), '.*')).toBe(false);
  });

  it('comes in the order of names, and not without one', () => {
    const items = [host({ Name: 'b' }), { State: 'Ready' } as IHostRecord, host({ Name: 'a' })];
    expect(sortedHosts({ Items: items }).map(each => each.Name)).toEqual(['a', 'b']);
    expect(sortedHosts(null)).toEqual([]);
  });

  it('spells out what is hostile in a container of others, and in what a node left', () => {
    const name = 'x\u202e<img src=x onerror=alert(1)>';
    expect(otherLine({ Name: name, Owner: 'ann\x1b@box', Resources: { CPU: 1 } }, trans)).toBe(
      'x\\u202e<img src=x onerror=alert(1)> · of ann\\x1b@box · 1 CPU'
    );
    expect(remainsLine({ NodeID: 'n-\u202e', Containers: 3, Running: 1, Volumes: 2 }, trans)).toBe(
      'n-\\u202e · containers: 3 · running: 1 · volumes: 2'
    );
    expect(remainsLine({ NodeID: NODE, Owner: 'ann@laptop' }, trans)).toMatch(/^ann@laptop \(gpu1\)/);
  });
});

describe('an order to add a host', () => {
  const order = (input: Partial<typeof EMPTY_HOST>) => orderOf({ ...EMPTY_HOST, ...input }, trans);

  it.each([
    [{ address: ' alice@gpu1 ' }, { URL: 'alice@gpu1' }],
    [{ choice: 'alias:gpu2', address: 'left behind' }, { URL: 'gpu2' }],
    [
      { choice: 'context:lab', name: ' lab ' },
      { Context: 'lab', Name: 'lab' }
    ],
    [
      { address: 'gpu1', labels: 'room=basement, rack=a=b' },
      { URL: 'gpu1', Labels: { room: 'basement', rack: 'a=b' } }
    ],
    [
      { address: 'tcp://10.0.0.7:2376', certificates: '/etc/tls/' },
      {
        URL: 'tcp://10.0.0.7:2376',
        TLS: { Ca: '/etc/tls/ca.pem', Cert: '/etc/tls/cert.pem', Key: '/etc/tls/key.pem' }
      }
    ],
    // Certificates that were entered for another address do not travel.
    [{ address: 'ssh://gpu1', certificates: '/etc/tls' }, { URL: 'ssh://gpu1' }]
  ])('%j means %j', (input, expected) => expect(order(input)).toEqual({ order: expected, problem: '' }));

  it.each([{}, { address: '  ' }, { address: 'gpu1', labels: 'basement' }, { address: 'a', labels: '=b' }])(
    '%j lacks something',
    input => expect(order(input).problem).not.toBe('')
  );

  it('makes a label of any word', () => {
    const labels = order({ address: 'a', labels: '__proto__=x' }).order.Labels;
    expect(JSON.stringify(labels)).toBe('{"__proto__":"x"}');
  });

  it('offers what the machine knows, spelled out', () => {
    const found = choices({
      Aliases: [{ Name: 'gpu1', Shown: 'alice@10.0.0.7' }, { Name: '\u202ex' }, {} as never],
      Contexts: [{ Name: 'lab', URL: 'ssh://lab', Description: 'lab box' }]
    });
    expect(found.aliases).toEqual([
      { value: 'alias:gpu1', label: 'gpu1 (alice@10.0.0.7)' },
      { value: 'alias:\u202ex', label: '\\u202ex' }
    ]);
    expect(found.contexts).toEqual([{ value: 'context:lab', label: 'lab (ssh://lab)' }]);
    expect(choices(null)).toEqual({ aliases: [], contexts: [] });
    expect(wantsCertificates({ ...EMPTY_HOST, address: ' TCP://a' })).toBe(true);
    expect(wantsCertificates({ ...EMPTY_HOST, choice: 'context:lab', address: 'tcp://a' })).toBe(false);
  });
});

describe('what is done about a host', () => {
  function setUp(accept = true) {
    const transport = new FakeTransport();
    const [questions, errors]: [string[], string[]] = [[], []];
    const app = {
      api: { hosts: new HostsApi(transport) },
      trans,
      host: {
        confirm: (title: string) => {
          questions.push(title);
          return Promise.resolve(accept);
        },
        showError: (title: string, reason: Error) => errors.push(`${title}: ${reason.message}`)
      }
    } as unknown as IBacalhau;
    return { app, transport, questions, errors };
  }
  const refused = { status: 409, body: '{"Message":"2 jobs of this node are on host gpu1"}' };

  it('asks before a host without jobs goes, and takes a no', async () => {
    const { app, transport, questions } = setUp(false);
    expect(await remove(app, host(), '')).toBe('kept');
    expect(questions).toHaveLength(1);
    expect(transport.requests).toEqual([]);
  });

  it('asks what becomes of jobs, also of those that came since the list was read', async () => {
    const { app, transport, errors } = setUp();
    expect(await remove(app, host({ Executions: 2 }), '')).toBe('asks');
    expect(transport.requests).toEqual([]);
    transport.answers.set('POST api/v1/hosts/gpu1/remove', () => refused);
    expect(await remove(app, host(), '')).toBe('asks');
    expect(errors).toEqual([]);
    expect(await remove(app, host(), 'cancel')).toBe('kept');
    expect(errors).toEqual(['gpu1 could not be removed: 2 jobs of this node are on host gpu1']);
    transport.answers.set('POST api/v1/hosts/gpu1/remove', () => ({}));
    expect(await remove(app, host({ Executions: 2 }), 'wait')).toBe('removed');
    expect(transport.requests.map(request => request.body)).toEqual([
      { Jobs: '' },
      { Jobs: 'cancel' },
      { Jobs: 'wait' }
    ]);
  });

  it('goes to the host that is meant, and says what went wrong', async () => {
    const { app, transport, errors } = setUp();
    transport.answers.set('POST api/v1/hosts/a%2Fb/pause', () => ({}));
    expect(await change(app, host({ Name: 'a/b' }), 'pause')).toBe(true);
    expect(await change(app, host({ Name: '..' }), 'retry')).toBe(false);
    expect(errors).toEqual(['The way to .. could not be tried: ".." is not a name']);
    expect(transport.requests).toHaveLength(1);
  });
});
