import * as React from 'react';
import { createRoot, Root } from 'react-dom/client';
import { Api } from '../api/client';
import { IHostRecord, IHosts } from '../api/hosts';
import { BacalhauContext } from '../components/context';
import { NodeCard } from '../nodes/NodeCard';
import { trans } from '../page/words';
import { Observable } from '../store/signal';
import { FakeTransport } from '../testing/transport';
import { IBacalhau } from '../tokens';
import { HostCard } from './HostCard';
import { HostForm } from './HostForm';
import { HostsSection } from './HostsSection';

const HOSTILE = '<img src=x onerror=alert(1)>\u202e';
const KEY = `SHA256:${'k'.repeat(43)}`;
const UNKNOWN_KEY = {
  Ok: false,
  Fingerprint: KEY,
  Steps: [
    { Name: 'name', Ok: true, Sentence: 'gpu1 is 10.99.1.2' },
    { Name: 'key', Ok: false, Sentence: `its key ${HOSTILE} is not known`, Hint: 'compare it' },
    { Name: 'login', Ok: null }
  ]
};

let place: HTMLElement;
let root: Root;
let transport: FakeTransport;
let answers: boolean[];
let errors: string[];

beforeEach(() => {
  (globalThis as { IS_REACT_ACT_ENVIRONMENT?: boolean }).IS_REACT_ACT_ENVIRONMENT = true;
  place = document.body.appendChild(document.createElement('div'));
  root = createRoot(place);
  transport = new FakeTransport();
  answers = [];
  errors = [];
});

afterEach(() => {
  React.act(() => root.unmount());
  place.remove();
});

async function show(element: JSX.Element): Promise<void> {
  const app = {
    api: new Api(transport),
    trans,
    host: {
      confirm: () => Promise.resolve(answers.shift() ?? false),
      showError: (title: string) => errors.push(title)
    }
  } as unknown as IBacalhau;
  await React.act(async () => {
    root.render(<BacalhauContext.Provider value={app}>{element}</BacalhauContext.Provider>);
    await Promise.resolve();
  });
}

function button(text: string): HTMLButtonElement {
  const all = [...place.querySelectorAll('button')];
  const one = all.find(known => known.textContent === text);
  if (one === undefined) {
    throw new Error(`no button ${text} among ${all.map(known => known.textContent).join(', ')}`);
  }
  return one;
}

async function settle(deed: () => void): Promise<void> {
  await React.act(async () => {
    deed();
    for (let turns = 0; turns < 20; turns++) {
      await Promise.resolve();
    }
  });
}

function type(label: string, text: string): Promise<void> {
  const field = [...place.querySelectorAll('label')]
    .find(known => known.textContent?.startsWith(label))
    ?.querySelector('input');
  return settle(() => {
    // React hears of it only through the element's own way of taking a value.
    Object.getOwnPropertyDescriptor(HTMLInputElement.prototype, 'value')?.set?.call(field, text);
    field?.dispatchEvent(new Event('input', { bubbles: true }));
  });
}

const sent = (path: string): unknown[] =>
  transport.requests.filter(request => request.path === path).map(request => request.body);

describe('the form', () => {
  const hosts: IHosts = { Aliases: [{ Name: 'gpu2' }], Contexts: [{ Name: 'lab', URL: HOSTILE }] };

  it('shows each step, and adds with exactly the key that was shown', async () => {
    let added = 0;
    transport.answers.set('POST api/v1/hosts/test', () => UNKNOWN_KEY);
    transport.answers.set('POST api/v1/hosts', () => ({ Name: 'gpu1' }));
    await show(<HostForm hosts={hosts} close={() => undefined} added={() => added++} />);
    await type('Address', 'alice@gpu1');
    await settle(() => button('Test').click());
    const steps = [...place.querySelectorAll('.jp-Bacalhau-steps > li')];
    expect(steps.map(step => step.querySelector('[role=img]')?.getAttribute('aria-label'))).toEqual([
      'works',
      'does not work',
      'not tried'
    ]);
    expect(steps[1]?.textContent).toContain('<img src=x onerror=alert(1)>\\u202e');
    expect(place.querySelector('img')).toBeNull();
    expect(place.textContent).toContain(KEY);
    await settle(() => button('Trust this key').click());
    expect(sent('api/v1/hosts')).toEqual([{ URL: 'alice@gpu1', Trust: KEY }]);
    expect(added).toBe(1);
  });

  it('forgets the key when another address is entered, also when the answer comes later', async () => {
    let answer: (value: unknown) => void = () => undefined;
    transport.answers.set('POST api/v1/hosts/test', () => new Promise(resolve => (answer = resolve)));
    await show(<HostForm hosts={hosts} close={() => undefined} added={() => undefined} />);
    await type('Address', 'alice@gpu1');
    await settle(() => button('Test').click());
    await type('Address', 'alice@other');
    await settle(() => answer(UNKNOWN_KEY));
    expect(place.textContent).not.toContain(KEY);
    await settle(() => button('Test').click());
    await settle(() => answer(UNKNOWN_KEY));
    expect(place.textContent).toContain(KEY);
    await type('Address', 'alice@third');
    expect(place.textContent).not.toContain(KEY);
  });

  it('says why nothing was added by the steps, and keeps it anyway when that is wanted', async () => {
    const steps = [{ Name: 'reach', Ok: false, Sentence: 'gpu1 does not answer', Hint: 'check the VPN' }];
    transport.answers.set('POST api/v1/hosts', () => ({ status: 400, body: '{"Message":"not added"}' }));
    transport.answers.set('POST api/v1/hosts/test', () => ({ Ok: false, Steps: steps }));
    await show(<HostForm hosts={hosts} close={() => undefined} added={() => undefined} />);
    await type('Address', 'gpu1');
    await settle(() => button('Add').click());
    expect(place.textContent).toContain('It was not added');
    expect(place.textContent).toContain('check the VPN');
    await settle(() => button('Add anyway').click());
    expect(sent('api/v1/hosts')).toEqual([{ URL: 'gpu1' }, { URL: 'gpu1', Anyway: true }]);
  });

  it('shows that another key came than the one that was trusted, and offers it to nobody', async () => {
    transport.answers.set('POST api/v1/hosts/test', () => UNKNOWN_KEY);
    transport.answers.set('POST api/v1/hosts', () => ({ status: 400, body: '{"Message":"another key"}' }));
    await show(<HostForm hosts={hosts} close={() => undefined} added={() => undefined} />);
    await type('Address', 'gpu1');
    await settle(() => button('Test').click());
    transport.answers.set('POST api/v1/hosts/test', () => ({ ...UNKNOWN_KEY, Fingerprint: 'SHA256:other' }));
    await settle(() => button('Trust this key').click());
    expect(place.querySelector('[role=alert]')?.textContent).toContain('another key');
    expect(place.textContent).not.toContain('SHA256:other');
  });

  it('asks nobody about a name that is taken', async () => {
    transport.answers.set('POST api/v1/hosts', () => ({ status: 409, body: '{"Message":"there is one"}' }));
    await show(<HostForm hosts={hosts} close={() => undefined} added={() => undefined} />);
    await type('Address', 'gpu1');
    await settle(() => button('Add').click());
    expect(place.querySelector('[role=alert]')?.textContent).toContain('there is one');
    expect(sent('api/v1/hosts/test')).toEqual([]);
  });

  it('closes with Escape, and its choices are text', async () => {
    let closed = 0;
    await show(<HostForm hosts={hosts} close={() => closed++} added={() => undefined} />);
    expect(place.querySelector('option[value="context:lab"]')?.textContent).toContain('<img');
    expect(place.querySelector('option img')).toBeNull();
    expect(document.activeElement?.tagName).toBe('SELECT');
    const form = place.querySelector('form');
    await settle(() => form?.dispatchEvent(new KeyboardEvent('keydown', { key: 'Escape', bubbles: true })));
    expect(closed).toBe(1);
  });
});

describe('a card', () => {
  const record: IHostRecord = {
    Name: 'gpu1',
    State: 'Unreachable',
    Problem: `gpu1 does not answer ${HOSTILE}`,
    Hint: HOSTILE,
    Since: '2026-11-30T14:03:00Z',
    Way: HOSTILE,
    Context: HOSTILE,
    Labels: { [HOSTILE]: HOSTILE },
    Progress: HOSTILE,
    Capacity: { CPU: 8, GPUs: [{ Name: HOSTILE }] },
    Facts: { Machine: HOSTILE, Engine: HOSTILE, Others: [{ Name: HOSTILE, Image: HOSTILE }] }
  };

  it('says how the host is and why, and no text of its becomes HTML', async () => {
    await show(<HostCard host={record} changed={() => undefined} />);
    expect(place.textContent).toContain('Unreachable');
    expect(place.textContent).toContain('gpu1 does not answer <img src=x onerror=alert(1)>\\u202e');
    expect(place.querySelector('img')).toBeNull();
    expect(place.textContent).not.toContain('\u202e');
    expect(place.querySelector('[role=meter]')).toBeNull();
  });

  it('asks what becomes of the jobs when the host is removed', async () => {
    let changed = 0;
    transport.answers.set('POST api/v1/hosts/gpu1/remove', () => ({}));
    await show(<HostCard host={{ ...record, Executions: 2 }} changed={() => changed++} />);
    await settle(() => button('Remove…').click());
    expect(place.textContent).toContain('2 jobs are on gpu1. What becomes of them?');
    expect(document.activeElement).toBe(button('Wait for them'));
    await settle(() => button('Keep the host').click());
    expect(document.activeElement).toBe(button('Remove…'));
    expect(sent('api/v1/hosts/gpu1/remove')).toEqual([]);
    await settle(() => button('Remove…').click());
    await settle(() => button('Leave them there').click());
    expect(sent('api/v1/hosts/gpu1/remove')).toEqual([{ Jobs: 'leave' }]);
    expect(place.textContent).not.toContain('What becomes of them?');
    expect(changed).toBeGreaterThan(0);
  });

  it('asks about one job in the singular', async () => {
    await show(<HostCard host={{ ...record, Executions: 1 }} changed={() => undefined} />);
    await settle(() => button('Remove…').click());
    expect(place.textContent).toContain('1 job is on gpu1. What becomes of it?');
    expect(button('Wait for it').title).toBe('No new ones; the host goes when this one has ended');
  });

  it('shows how far a copy is, and ends it', async () => {
    let changed = 0;
    const Progress = 'copying image mine:1 12 MB/80 MB, layer 2 of 5, 61 MB/s';
    transport.answers.set('POST api/v1/hosts/gpu1/push/stop', () => ({}));
    await show(<HostCard host={{ ...record, Progress }} changed={() => changed++} />);
    expect(place.textContent).toContain(Progress);
    await settle(() => button('Stop the copy').click());
    expect(sent('api/v1/hosts/gpu1/push/stop')).toEqual([{}]);
    expect(changed).toBe(1);
    await show(<HostCard host={{ ...record, Progress: '' }} changed={() => undefined} />);
    expect(() => button('Stop the copy')).toThrow();
  });

  it('lists what nodes left, and removes only what is chosen and confirmed', async () => {
    const items = [
      { NodeID: 'n-own', IsOwn: true, Containers: 5 },
      { NodeID: 'n-dead', Owner: 'ann@laptop', Containers: 3, Running: 1 },
      { NodeID: 'n-other', Containers: 1 }
    ];
    transport.answers.set('POST api/v1/hosts/gpu1/clean', () => ({ Items: items }));
    await show(<HostCard host={{ ...record, State: 'Ready' }} changed={() => undefined} />);
    await settle(() => button('Clean up…').click());
    const boxes = [...place.querySelectorAll<HTMLInputElement>('input[type=checkbox]')];
    expect(boxes).toHaveLength(2);
    expect(button('Remove what is chosen…').disabled).toBe(true);
    await settle(() => boxes[0]?.click());
    answers.push(false, true);
    await settle(() => button('Remove what is chosen…').click());
    expect(sent('api/v1/hosts/gpu1/clean')).toEqual([{ Remove: [] }]);
    transport.answers.set('POST api/v1/hosts/gpu1/clean', () => ({ Items: [], Removed: ['n-dead'] }));
    await settle(() => button('Remove what is chosen…').click());
    expect(sent('api/v1/hosts/gpu1/clean')).toEqual([{ Remove: [] }, { Remove: ['n-dead'], Force: true }]);
    expect(place.textContent).toContain('Removed: n-dead');
  });

  it('tries the way step by step, and the next click closes that', async () => {
    transport.answers.set('POST api/v1/hosts/gpu1/test', () => UNKNOWN_KEY);
    await show(<HostCard host={record} changed={() => undefined} />);
    await settle(() => button('Test').click());
    expect(place.querySelectorAll('.jp-Bacalhau-steps > li')).toHaveLength(3);
    // A key that is not the known one is never accepted for a host that is there.
    expect(() => button('Trust this key')).toThrow();
    await settle(() => button('Test').click());
    expect(place.querySelector('.jp-Bacalhau-steps')).toBeNull();
  });
});

describe('the node of a host of another process', () => {
  const shown = (Unavailable?: string) => {
    const compute = { MaxCapacity: { CPU: 8 }, AvailableCapacity: {}, Unavailable };
    return show(<NodeCard node={{ Info: { NodeID: 'n-1', ComputeNodeInfo: compute } }} own="" />);
  };

  it('says why it takes nothing, in place of meters that are full', async () => {
    await shown(`gpu1 does not answer ${HOSTILE}`);
    expect(place.textContent).toContain('gpu1 does not answer <img src=x onerror=alert(1)>\\u202e');
    expect(place.querySelector('[role=meter]')).toBeNull();
    await shown();
    expect(place.querySelector('[role=meter]')).not.toBeNull();
  });
});

describe('the section', () => {
  const form = new Observable<boolean>(false);
  const view = { offered: true, hosts: null, problem: null, read: () => Promise.resolve() };

  it('is not there where the node has none, nor before they are read', async () => {
    await show(<HostsSection view={{ ...view, offered: false }} filter="" form={form} />);
    expect(place.textContent).toBe('');
    await show(<HostsSection view={view} filter="" form={form} />);
    expect(place.textContent).toBe('');
  });

  it('says what a Docker host is for as long as there is none', async () => {
    const sentence = 'A Docker host is another machine with Docker that runs your jobs';
    await show(<HostsSection view={{ ...view, hosts: { Items: [] } }} filter="" form={form} />);
    expect(place.textContent).toContain(sentence);
    const hosts = { Items: [{ Name: 'gpu1' }] };
    await show(<HostsSection view={{ ...view, hosts }} filter="other" form={form} />);
    expect(place.textContent).not.toContain(sentence);
  });

  it('tells what is wrong in the file, and gives the focus back when the form closes', async () => {
    await show(<HostsSection view={{ ...view, hosts: { Problems: [HOSTILE] } }} filter="" form={form} />);
    expect(place.querySelector('[role=alert]')?.textContent).toContain('<img');
    await settle(() => button('Add host…').click());
    await settle(() => button('Cancel').click());
    expect(document.activeElement).toBe(button('Add host…'));
  });
});
