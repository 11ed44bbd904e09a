import { CellWatch } from './cell';

class Future {
  isDisposed = false;
  finish!: () => void;
  fail!: (reason: unknown) => void;
  readonly done = new Promise<void>((resolve, reject) => {
    this.finish = resolve;
    this.fail = reject;
  });
}

interface INode {
  parent: INode | null;
  future?: unknown;
}

const inside = (...parents: object[]): INode =>
  [...parents, {}].reduce<INode | null>((parent, node) => ({ ...node, parent }), null)!;

describe('CellWatch', () => {
  it('sees that the cell around an output runs, and when it ends', async () => {
    const future = new Future();
    const changed = jest.fn();
    const watch = new CellWatch(changed);
    watch.look(inside({}, { future }, {}));
    expect(watch.runs).toBe(true);
    future.finish();
    await future.done;
    await Promise.resolve();
    expect(watch.runs).toBe(false);
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it('sees that the kernel was restarted', async () => {
    const future = new Future();
    const changed = jest.fn();
    const watch = new CellWatch(changed);
    watch.look(inside({ future }));
    future.isDisposed = true;
    expect(watch.runs).toBe(false);
    future.fail(new Error('Canceled future'));
    await future.done.catch(() => undefined);
    await Promise.resolve();
    expect(changed).toHaveBeenCalledTimes(1);
  });

  it.each([[{}], [{ future: null }], [{ future: undefined }], [{ future: 'x' }], [{ future: {} }]])(
    'takes %j for a cell that does not run',
    node => {
      const watch = new CellWatch(jest.fn());
      watch.look(inside(node));
      expect(watch.runs).toBe(false);
    }
  );

  it('follows a cell that is run again', async () => {
    const [first, second] = [new Future(), new Future()];
    const changed = jest.fn();
    const watch = new CellWatch(changed);
    watch.look(inside({ future: first }));
    watch.look(inside({ future: second }));
    first.finish();
    await first.done;
    await Promise.resolve();
    expect(watch.runs).toBe(true);
    expect(changed).not.toHaveBeenCalled();
  });
});
