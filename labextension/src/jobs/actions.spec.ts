import { Api } from '../api/client';
import { IJob, INodeState, JobStateName } from '../api/types';
import { change } from '../nodes/actions';
import { trans } from '../page/words';
import { Observable } from '../store/signal';
import { entryOf } from '../store/state';
import { Store } from '../store/store';
import { FakeTransport } from '../testing/transport';
import { IBacalhau } from '../tokens';
import { canRerun, canStop, code, hasResults, show, stop, title } from './actions';
import { removeAll, rerun, stopAll } from './bulk';

const JOBS = 'api/v1/orchestrator/jobs';
const NODES = 'api/v1/orchestrator/nodes';

function setUp(confirm = true): {
  app: IBacalhau;
  transport: FakeTransport;
  questions: string[];
  texts: string[];
  errors: string[];
} {
  const transport = new FakeTransport();
  const questions: string[] = [];
  const texts: string[] = [];
  const errors: string[] = [];
  const store = new Store(callback => callback());
  store.dispatch({ type: 'jobs', jobs: [{ ID: 'j/1', Name: 'tr\u202eain' }] });
  const app = {
    api: new Api(transport),
    store,
    trans,
    host: {
      confirm: (question: string, text: string) => {
        questions.push(question);
        texts.push(text);
        return Promise.resolve(confirm);
      },
      showError: (heading: string) => errors.push(heading)
    },
    selected: new Observable(''),
    picks: new Observable(new Set<string>()),
    sync: { node: new Observable({ NodeID: 'n', Features: ['delete-jobs'] }) },
    tab: new Observable('nodes'),
    details: new Observable(null)
  };
  return { app: app as unknown as IBacalhau, transport, questions, texts, errors };
}

describe('stopping a job', () => {
  it('asks first, by the name that people know, and tells the reason', async () => {
    const { app, transport, questions, errors } = setUp();
    transport.answers.set(`DELETE ${JOBS}/j%2F1`, () => ({}));
    await stop(app, 'j/1');
    expect(questions).toEqual(['Stop job tr\\u202eain?']);
    expect(transport.requests).toMatchObject([{ method: 'DELETE', body: { reason: 'stopped by hand' } }]);
    expect(errors).toEqual([]);
  });

  it('does nothing without a yes', async () => {
    const { app, transport } = setUp(false);
    await stop(app, 'j/1');
    expect(transport.requests).toEqual([]);
  });

  it('forgets a job that is gone, and only that', async () => {
    const { app, transport, errors } = setUp();
    transport.answers.set(`DELETE ${JOBS}/j%2F1`, () => ({ status: 500, body: '{}' }));
    await stop(app, 'j/1');
    expect([errors.length, app.store.snapshot().jobs.size]).toEqual([1, 1]);
    transport.answers.delete(`DELETE ${JOBS}/j%2F1`);
    await stop(app, 'j/1');
    expect([errors.length, app.store.snapshot().jobs.size]).toEqual([2, 0]);
  });
});

describe('running a job again', () => {
  it('submits a copy that has a row of its own, without a question', async () => {
    const { app, transport, questions } = setUp();
    const over = { ID: 'j/1', Name: 'train', State: { StateType: 'Completed' } };
    app.store.dispatch({ type: 'jobs', jobs: [over as IJob] });
    transport.answers.set(`GET ${JOBS}/j%2F1`, () => ({ Job: over }));
    transport.answers.set(`PUT ${JOBS}`, () => ({ JobID: 'j-2' }));
    transport.answers.set(`GET ${JOBS}/j-2`, () => ({ Job: { ID: 'j-2', Name: 'j-2' } }));
    app.details.set({ job: 'j/1', part: 'logs' });
    await rerun(app, 'j/1');
    const order = transport.requests.find(request => request.method === 'PUT')?.body;
    expect(order).toEqual({ Job: { Meta: { 'jupyter.org/title': 'train', 'jupyter.org/rerun-of': 'j/1' } } });
    expect([...app.store.snapshot().jobs.keys()]).toEqual(['j/1', 'j-2']);
    expect(app.details.get()).toEqual({ job: 'j-2', part: 'logs' });
    expect(questions).toEqual([]);
  });
});

describe('many jobs at once', () => {
  const many: IJob[] = [
    { ID: 'a', State: { StateType: 'Running' } },
    { ID: 'b', State: { StateType: 'Completed' } },
    { ID: 'c', State: { StateType: 'Failed' } }
  ];
  const pick = (confirm = true): ReturnType<typeof setUp> => {
    const all = setUp(confirm);
    all.app.store.dispatch({ type: 'jobs', jobs: many });
    return all;
  };

  it('are stopped where they are not over, with one question', async () => {
    const { app, transport, questions } = pick();
    transport.answers.set(`DELETE ${JOBS}/a`, () => ({}));
    await stopAll(app, ['a', 'b', 'c']);
    expect(transport.requests.map(request => request.path)).toEqual([`${JOBS}/a`]);
    expect(questions).toHaveLength(1);
  });

  it('are deleted where they are over, with one question, and no longer picked', async () => {
    const { app, transport, questions } = pick();
    app.picks.set(new Set(['a', 'b', 'c']));
    transport.answers.set(`DELETE ${JOBS}/b/record`, () => ({}));
    transport.answers.set(`DELETE ${JOBS}/c/record`, () => ({}));
    await removeAll(app, ['a', 'b', 'c']);
    expect(questions).toEqual(['Delete 2 jobs?']);
    expect([...app.store.snapshot().jobs.keys()]).toEqual(['j/1', 'a']);
    expect([...app.picks.get()]).toEqual(['a']);
  });

  it('are spoken of in words that fit one job and many', async () => {
    const { app, texts } = pick(false);
    await removeAll(app, ['b']);
    await removeAll(app, ['b', 'c']);
    expect(texts.map(text => text.split(' ')[0])).toEqual(['It', 'They']);
    expect(texts.join(' ')).not.toMatch(/record|connected node/);
  });

  it('stay without a yes, and on nodes that delete none', async () => {
    const no = pick(false);
    await removeAll(no.app, ['b']);
    expect(no.transport.requests).toEqual([]);
    const official = pick();
    official.app.sync.node.set({ NodeID: 'n' });
    await removeAll(official.app, ['b']);
    expect([official.questions, official.transport.requests]).toEqual([[], []]);
  });

  it('tell once what went wrong', async () => {
    const { app, transport, errors } = pick();
    transport.answers.set(`DELETE ${JOBS}/b/record`, () => ({ status: 500, body: '{}' }));
    transport.answers.set(`DELETE ${JOBS}/c/record`, () => ({ status: 500, body: '{}' }));
    await removeAll(app, ['b', 'c']);
    expect(errors).toEqual(['Some jobs could not be deleted']);
    expect(app.store.snapshot().jobs.size).toBe(4);
  });
});

it('a job is shown in its tab', () => {
  const { app } = setUp();
  show(app, 'j/1', 'logs');
  expect([app.tab.get(), app.selected.get(), app.details.get()]).toEqual([
    'jobs',
    'j/1',
    { job: 'j/1', part: 'logs' }
  ]);
});

describe('what can be done', () => {
  const entry = (StateType: JobStateName, Type = 'batch') => entryOf({ ID: 'j', Type, State: { StateType } });

  it.each<[JobStateName, boolean, boolean, boolean]>([
    ['Pending', true, false, false],
    ['Queued', true, false, false],
    ['Running', true, false, false],
    ['Completed', false, true, true],
    ['Failed', false, true, false],
    ['Stopped', false, true, false]
  ])('with a job in the state %s', (state, stops, reruns, results) =>
    expect([canStop(entry(state)), canRerun(entry(state)), hasResults(entry(state))]).toEqual([
      stops,
      reruns,
      results
    ])
  );

  it('is nothing with a job that nobody knows, and no results with one that never ends', () => {
    expect([canStop(undefined), canRerun(undefined), hasResults(undefined)]).toEqual([false, false, false]);
    expect(hasResults(entry('Completed', 'service'))).toBe(false);
  });
});

it.each(['j-1', '"; import os; "', "'", '\\', 'a\nb', '\u2028'])(
  'the code for %j holds the id as one string',
  id => {
    const literal = /^job = Client\(\).job\(([^\n]*)\)$/m.exec(code(id))?.[1] ?? '';
    expect(JSON.parse(literal)).toBe(id);
    expect(code(id).split('\n')).toHaveLength(4);
  }
);

it.each([
  [{ ID: 'j-761f5690-x', Name: 'j-761f5690-x' }, 'j-761f5690'],
  [{ ID: 'j-761f5690-x', Name: '' }, 'j-761f5690'],
  [{ ID: 'j', Name: '__proto__' }, '__proto__'],
  [{ ID: 'j', Name: 7 as unknown as string }, '7']
])('the title of %j is %j', (job, text) => expect(title(entryOf(job))).toBe(text));

describe('changing the membership of a node', () => {
  const node = { Info: { NodeID: 'n/1' } } as INodeState;

  it.each(['approve', 'reject', 'delete'] as const)(
    'asks first and reads the list anew: %s',
    async action => {
      const { app, transport, questions } = setUp();
      transport.answers.set(`PUT ${NODES}/n%2F1`, () => ({}));
      transport.answers.set(`GET ${NODES}`, () => ({ Nodes: [{ Info: { NodeID: 'left' } }] }));
      await change(app, node, action);
      expect(questions[0]?.toLowerCase()).toContain(`${action} node n/1`);
      expect(transport.requests[0]?.body).toMatchObject({ Action: action, NodeID: 'n/1' });
      expect([...app.store.snapshot().nodes.keys()]).toEqual(['left']);
    }
  );

  it('does nothing without a yes, and says what went wrong', async () => {
    const no = setUp(false);
    await change(no.app, node, 'delete');
    expect(no.transport.requests).toEqual([]);
    const yes = setUp();
    await change(yes.app, node, 'delete');
    expect(yes.errors).toEqual(['The node could not be deleted']);
  });
});
