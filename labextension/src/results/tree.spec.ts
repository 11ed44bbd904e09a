import { IResultFile } from '../api/files';
import { extended, IBranch, ILine, lines, openAtFirst, parentOf, STEP, step, toggled, treeOf } from './tree';

const files = (...paths: string[]): IResultFile[] =>
  paths.map(path => (path.endsWith('/') ? { Path: path, Kind: 'directory' } : { Path: path, Kind: 'file' }));

const all = (branch: IBranch): string[] =>
  branch.entries.flatMap(entry => (entry.file ? [entry.path] : [`${entry.path}/`, ...all(entry)]));

describe('the tree of a listing', () => {
  it('holds each file once, whatever the order of the listing', () => {
    const paths = ['b/c/d', 'b/c/e', 'a', 'b/a', 'z/y/x/w', 'b/'];
    const expected = all(treeOf(files(...paths)));
    expect(all(treeOf(files(...[...paths].reverse())))).toEqual(expected);
    expect(expected.filter(path => !path.endsWith('/')).sort()).toEqual(
      paths.filter(path => !path.endsWith('/')).sort()
    );
  });

  it.each([[['a', 'a/b']], [['a/b', 'a']]])('shows a file beside a directory of the same name: %j', paths =>
    expect(all(treeOf(files(...paths)))).toEqual(['a/', 'a/b', 'a'])
  );

  it.each(['__proto__/x', 'constructor', 'toString/a', 'a/__proto__', 'hasOwnProperty'])(
    'takes %j as a name',
    path => expect(all(treeOf(files(path))).pop()).toBe(path)
  );

  it.each(['/', '//', 'a//b', '../x', './x', 'a/..', '/etc/passwd'])('keeps %j one name', path => {
    const top = treeOf([{ Path: path, Kind: 'file' }]);
    expect(top.entries).toHaveLength(1);
    expect(top.entries[0]?.entries).toEqual([]);
    expect(top.entries[0]?.name.replace(/\/+$/, '')).toBe(path.replace(/\/+$/, ''));
    expect(top.entries[0]?.name).not.toBe('');
  });

  it('leaves out what names nothing', () =>
    expect(treeOf([{ Path: '' }, {} as IResultFile, null as unknown as IResultFile]).entries).toEqual([]));

  it('is made of tens of thousands of files in no time', () => {
    const started = performance.now();
    const many = Array.from({ length: 50_000 }, (_, at) => `d${at % 100}/${'/'.repeat(0)}f${at}`);
    expect(treeOf(files(...many)).entries).toHaveLength(100);
    treeOf(files(`${'/'.repeat(200_000)}x`));
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});

describe('what is open at first', () => {
  it.each([
    [
      ['a/b/c', 'a/b/d'],
      ['', 'a', 'a/b']
    ],
    [
      ['stdout', 'outputs/x/y'],
      ['', 'outputs']
    ],
    [['stdout', 'outputs'], ['']],
    [[], ['']]
  ])('of %j is %j', (paths, open) => expect([...openAtFirst(treeOf(files(...paths))).keys()]).toEqual(open));
});

describe('walking', () => {
  const top = treeOf(files('d/e/f', 'd/g', 'h'));
  const open = new Map([
    ['', STEP],
    ['d', STEP],
    ['d/e', STEP]
  ]);
  const shown = lines(top, open);
  const names = shown.map(line => line.branch.path);

  it('goes through all lines and stops at both ends', () => {
    expect(names).toEqual(['d', 'd/e', 'd/e/f', 'd/g', 'h']);
    expect(step(shown, open, 0, 'ArrowUp')).toEqual({ to: 0 });
    expect(step(shown, open, 4, 'ArrowDown')).toEqual({ to: 4 });
    expect(step(shown, open, 2, 'Home')).toEqual({ to: 0 });
    expect(step(shown, open, 2, 'End')).toEqual({ to: 4 });
  });

  it('closes what is open, and goes to the parent of what is closed', () => {
    expect(step(shown, open, 1, 'ArrowLeft')).toEqual({ toggle: shown[1]?.branch });
    expect(step(shown, open, 2, 'ArrowLeft')).toEqual({ to: 1 });
    expect(step(shown, open, 3, 'ArrowLeft')).toEqual({ to: 0 });
    expect(step(shown, open, 4, 'ArrowLeft')).toEqual({ to: 4 });
  });

  it('opens what is closed, and goes into what is open', () => {
    const closed = toggled(open, shown[1]?.branch as IBranch);
    const fewer = lines(top, closed);
    expect(fewer.map(line => line.branch.path)).toEqual(['d', 'd/e', 'd/g', 'h']);
    expect(step(fewer, closed, 1, 'ArrowRight')).toEqual({ toggle: fewer[1]?.branch });
    expect(step(shown, open, 1, 'ArrowRight')).toEqual({ to: 2 });
    expect(toggled(closed, fewer[1]?.branch as IBranch)).toEqual(open);
  });

  it.each(['a', 'Tab', 'constructor', '__proto__', 'Escape'])('leaves the key %s alone', key =>
    expect(step(shown, open, 1, key)).toBeNull()
  );

  it('does nothing where there is no line', () => {
    expect(step([], new Map(), 0, 'ArrowDown')).toBeNull();
    expect(step(shown, open, 99, 'ArrowDown')).toBeNull();
    expect(parentOf([], 3)).toBe(3);
  });

  it('shows the rest of a large directory step by step, until nothing is left', () => {
    const large = treeOf(files(...Array.from({ length: 3 * STEP - 1 }, (_, at) => `f${at}`)));
    let now: ReadonlyMap<string, number> = new Map([['', STEP]]);
    const counts: number[] = [];
    for (;;) {
      const last = lines(large, now).pop() as ILine;
      counts.push(last.more);
      if (last.more === 0) {
        break;
      }
      now = extended(now, last);
    }
    expect(counts).toEqual([2 * STEP - 1, STEP - 1, 0]);
  });
});
