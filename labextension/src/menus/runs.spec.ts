import { Api } from '../api/client';
import { INotebookOrder } from '../api/notebooks';
import { IStreamEvent } from '../api/types';
import { FakeTransport } from '../testing/transport';
import { chosenPath, IPaths, isNotebookName } from './choice';
import { COPY_WAITS_MS, IDesk, INotice, Runs } from './runs';

const ORDER: INotebookOrder = {
  path: 'a.ipynb',
  parameters: {},
  image: '',
  resources: { cpu: '', memory: '', gpu: '' },
  timeout: 0,
  pip: [],
  requirements: ''
};

class FakeDesk implements IDesk {
  readonly root = '/data';
  readonly notices: INotice[] = [];
  readonly saved: string[] = [];
  readonly revealed: string[][] = [];
  readonly files = new Map<string, unknown>();
  readonly waits: number[] = [];
  order: INotebookOrder | null = ORDER;
  asked: unknown = null;
  onWait: () => void = () => undefined;

  save(path: string): Promise<void> {
    this.saved.push(path);
    return Promise.resolve();
  }

  readText(path: string): Promise<string> {
    return Promise.resolve(this.files.get(path) as string);
  }

  readNotebook(path: string): Promise<unknown> {
    return Promise.resolve(this.files.get(path));
  }

  readonly open: string[] = [];

  openNotebooks(): readonly string[] {
    return this.open;
  }

  exists(path: string): Promise<boolean> {
    return Promise.resolve(this.files.has(path));
  }

  cells = ['c'];

  reveal(path: string, cell: string): Promise<boolean> {
    this.revealed.push([path, cell]);
    return Promise.resolve(this.cells.includes(cell));
  }

  ask(_path: string, parameters: unknown): Promise<INotebookOrder | null> {
    this.asked = parameters;
    return Promise.resolve(this.order);
  }

  notify(notice: INotice): void {
    this.notices.push(notice);
  }

  wait(ms: number): Promise<void> {
    this.waits.push(ms);
    this.onWait();
    return Promise.resolve();
  }
}

describe('Runs', () => {
  let transport: FakeTransport;
  let desk: FakeDesk;
  let errors: string[];
  let watchers: Set<(event: IStreamEvent) => void>;
  let interests: number;
  let runs: Runs;

  beforeEach(() => {
    transport = new FakeTransport();
    desk = new FakeDesk();
    errors = [];
    watchers = new Set();
    interests = 0;
    const acquire = (): (() => void) => {
      interests += 1;
      return () => void (interests -= 1);
    };
    const trans = {
      __: (text: string, ...args: unknown[]) =>
        text.replace(/%(\d)/g, (_, index: string) => String(args[Number(index) - 1]))
    };
    const host = {
      showError: (title: string, reason: unknown) => void errors.push(`${title}: ${String(reason)}`)
    };
    runs = new Runs({ api: new Api(transport), sync: { acquire, watchers }, host, trans }, desk);
  });

  const ends = async (job: string, details: Record<string, string> = {}): Promise<void> => {
    const event = { job, state: 'Completed', details } as unknown as IStreamEvent;
    watchers.forEach(watcher => watcher(event));
    await new Promise(resolve => setTimeout(resolve));
  };

  describe('runSpec', () => {
    beforeEach(() => void desk.files.set('a.yaml', 'Name: a\nTasks: []'));

    it('saves the file, submits it and says which job it is', async () => {
      transport.answers.set('PUT api/v1/orchestrator/jobs', () => ({ JobID: 'j-12345678-9' }));
      await runs.runSpec('a.yaml');
      expect(desk.saved).toEqual(['a.yaml']);
      expect(transport.requests[0]?.body).toEqual({ Job: { Name: 'a', Tasks: [] } });
      expect(desk.notices).toEqual([
        { text: 'Job j-12345678 is submitted.', kind: 'success', job: 'j-12345678-9' }
      ]);
    });

    it('passes the warnings of the server on', async () => {
      transport.answers.set('PUT api/v1/orchestrator/jobs', () => ({ JobID: 'j-1', Warnings: ['Careful.'] }));
      await runs.runSpec('a.yaml');
      expect(desk.notices[0]).toMatchObject({ text: 'Job j-1 is submitted. Careful.', kind: 'warning' });
    });

    it('shows why a file could not be run', async () => {
      desk.files.set('a.yaml', 'a: 1');
      await runs.runSpec('a.yaml');
      expect(errors[0]).toMatch(/a.yaml could not be run: .*no Tasks/);
      expect(transport.requests).toEqual([]);
    });
  });

  describe('runNotebook', () => {
    beforeEach(() => {
      const cell = { source: 'x = 1', metadata: { tags: ['parameters'] } };
      desk.files.set('a.ipynb', { cells: [cell] });
      transport.answers.set('POST notebooks', () => ({ job_id: 'j-1', copy: 'a.out.ipynb' }));
    });

    it('asks for the parameters of the saved notebook and submits what the person says', async () => {
      await runs.runNotebook('a.ipynb');
      expect(desk.saved).toEqual(['a.ipynb']);
      expect(desk.asked).toEqual([{ name: 'x', text: '1' }]);
      expect(transport.requests[0]).toMatchObject({ method: 'POST', path: 'notebooks', body: ORDER });
      expect(desk.notices[0]).toMatchObject({ job: 'j-1', kind: 'success' });
    });

    it('submits nothing when the person cancels', async () => {
      desk.order = null;
      await runs.runNotebook('a.ipynb');
      expect([transport.requests, desk.notices, interests]).toEqual([[], [], 0]);
    });

    it('shows a notification once the job has ended and the executed copy is there', async () => {
      await runs.runNotebook('a.ipynb');
      await ends('another');
      expect([interests, desk.waits]).toEqual([1, []]);
      desk.onWait = () => desk.waits.length === 2 && desk.files.set('a.out.ipynb', {});
      await ends('j-1');
      expect(desk.waits).toEqual(COPY_WAITS_MS.slice(0, 2));
      expect(desk.notices[1]).toEqual({
        text: 'The executed copy is a.out.ipynb.',
        kind: 'success',
        stays: true,
        file: 'a.out.ipynb'
      });
      expect([interests, watchers.size]).toEqual([0, 0]);
    });

    it('hears of a job that ends before the answer says which one it is', async () => {
      desk.files.set('a.out.ipynb', {});
      transport.answers.set('POST notebooks', async () => {
        await ends('another');
        await ends('j-1');
        return { job_id: 'j-1', copy: 'a.out.ipynb' };
      });
      await runs.runNotebook('a.ipynb');
      await new Promise(resolve => setTimeout(resolve));
      expect(desk.notices[1]).toMatchObject({
        text: 'The executed copy is a.out.ipynb.',
        file: 'a.out.ipynb'
      });
      expect([interests, watchers.size]).toEqual([0, 0]);
    });

    it('waits for nothing when the notebook is refused', async () => {
      transport.answers.delete('POST notebooks');
      await runs.runNotebook('a.ipynb');
      expect(errors).toHaveLength(1);
      expect([interests, watchers.size]).toEqual([0, 0]);
    });

    it('shows a failure as one, with the exit code and the error, and the copy', async () => {
      await runs.runNotebook('a.ipynb');
      desk.files.set('a.out.ipynb', {});
      await ends('j-1', { Outcome: 'failed', ExitCode: '1', Error: 'KeyError: k' });
      expect(desk.notices[1]).toEqual({
        text: 'a.out.ipynb: ✕ exit 1, KeyError: k. The executed copy is a.out.ipynb.',
        kind: 'error',
        stays: true,
        file: 'a.out.ipynb'
      });
    });

    it('shows a failure without a copy, too', async () => {
      await runs.runNotebook('a.ipynb');
      await ends('j-1', { Outcome: 'failed', ExitCode: '2' });
      expect(desk.notices[1]).toMatchObject({ text: 'a.out.ipynb: ✕ exit 2', kind: 'error', job: 'j-1' });
    });

    it('gives up silently on a copy that does not come', async () => {
      await runs.runNotebook('a.ipynb');
      await ends('j-1');
      expect(desk.waits).toEqual(COPY_WAITS_MS);
      expect(desk.notices).toHaveLength(1);
    });
  });

  describe('jump', () => {
    it('shows the cell of the open notebook where only its name is known', async () => {
      desk.files.set('deep/down/n.ipynb', {});
      desk.open.push('other.ipynb', 'deep/down/n.ipynb');
      await runs.jump({ notebook: 'n.ipynb', cell: 'c', isNameOnly: true });
      expect(desk.revealed).toEqual([['deep/down/n.ipynb', 'c']]);
      expect([errors, desk.notices]).toEqual([[], []]);
    });

    it('never takes a notebook of the same name for the one whose place is known', async () => {
      desk.files.set('n.ipynb', {});
      desk.files.set('deep/down/n.ipynb', {});
      desk.open.push('deep/down/n.ipynb');
      await runs.jump({ notebook: 'n.ipynb', cell: 'c' });
      expect(desk.revealed).toEqual([['n.ipynb', 'c']]);
    });

    it('says that the notebook is not where it was, and opens no other one', async () => {
      desk.open.push('deep/down/n.ipynb');
      desk.files.set('deep/down/n.ipynb', {});
      await runs.jump({ notebook: '/data/x/n.ipynb', cell: 'c' });
      expect(desk.revealed).toEqual([]);
      expect(errors[0]).toMatch(/x\/n.ipynb is not there any longer/);
    });

    it('says so where only a name is known, and nothing of that name is open', async () => {
      await runs.jump({ notebook: 'n.ipynb', cell: 'c', isNameOnly: true });
      expect(errors[0]).toMatch(/Only the name of the notebook is known, n.ipynb/);
    });

    it('says that the notebook has lost the cell', async () => {
      desk.files.set('n.ipynb', {});
      await runs.jump({ notebook: 'n.ipynb', cell: 'lost' });
      expect(desk.notices).toMatchObject([
        { kind: 'warning', text: expect.stringContaining('n.ipynb') as string }
      ]);
    });

    it('shows the cell of a notebook below the root', async () => {
      desk.files.set('x/n.ipynb', {});
      await runs.jump({ notebook: '/data/x/n.ipynb', cell: 'c' });
      expect(desk.revealed).toEqual([['x/n.ipynb', 'c']]);
    });

    it('shows an error when the notebook is outside the server’s root', async () => {
      await runs.jump({ notebook: '/elsewhere/n.ipynb', cell: 'c' });
      expect(desk.revealed).toEqual([]);
      expect(errors[0]).toMatch(/elsewhere\/n.ipynb is not below the root/);
    });
  });
});

describe('chosenPath', () => {
  const none: IPaths = { named: '', selected: [], notebook: '', current: '' };
  const some: IPaths = { named: '', selected: ['s.ipynb'], notebook: 'n.ipynb', current: 'c.ipynb' };

  it.each([
    ['files', some, 's.ipynb'],
    ['notebook', some, 'n.ipynb'],
    [undefined, some, 'n.ipynb'],
    [undefined, { ...none, selected: ['s.ipynb'] }, 's.ipynb'],
    ['notebook', { ...none, selected: ['s.ipynb'] }, ''],
    ['files', { ...none, current: 'c.ipynb' }, ''],
    ['files', { ...some, named: 'named.ipynb' }, 'named.ipynb'],
    [undefined, { ...some, notebook: '', current: 'c.txt' }, 's.ipynb'],
    ['files', { ...some, selected: ['a.ipynb', 'b.ipynb'] }, '']
  ])('from %s, of %j, is %s', (from, paths, path) =>
    expect(chosenPath(from, paths, isNotebookName)).toBe(path)
  );
});
