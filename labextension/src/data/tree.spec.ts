import { IDataEntry } from '../api/data';
import { ApiError } from '../api/errors';
import { chosenOf, ITree, NO_TREE, reduceTree, rowsOf, step, TreeAction, TreeRow } from './tree';

const directory = (URI: string): IDataEntry => ({ Name: URI, URI, Kind: 'directory' });
const file = (URI: string): IDataEntry => ({ Name: URI, URI, Kind: 'file' });
const page = (uri: string, entries: IDataEntry[] | null, next = '', first = true): TreeAction => ({
  type: 'page',
  uri,
  page: { Entries: entries, NextToken: next },
  first
});
const after = (...actions: TreeAction[]): ITree => actions.reduce(reduceTree, NO_TREE);
const seen = (tree: ITree): string[] =>
  rowsOf(tree).map(row => `${row.level}${row.kind === 'entry' ? row.entry.URI : ` ${row.kind}`}`);

describe('rows', () => {
  it('end, although an address lists itself or what lies above it', () => {
    const tree = after(
      page('', [directory('a')]),
      page('a', [directory('a'), directory('b')]),
      page('b', [directory('a'), directory('b'), file('c')]),
      { type: 'open', uri: 'a' },
      { type: 'open', uri: 'b' }
    );
    expect(seen(tree)).toEqual(['1a', '2a', '2b', '3a', '3b', '3c']);
  });

  it('have keys of their own, wherever the same address stands twice', () => {
    const tree = after(
      page('', [directory('a'), directory('b'), directory('__proto__')]),
      page('a', [file('x'), directory('a'), directory('c')]),
      page('b', [file('x'), directory('c')]),
      page('c', [file('x')]),
      page('__proto__', []),
      ...['a', 'b', 'c', '__proto__'].map(uri => ({ type: 'open', uri }) as const)
    );
    const keys = rowsOf(tree).map(row => row.key);
    expect(new Set(keys).size).toBe(keys.length);
    expect(seen(tree)).toContain('2 empty');
  });

  it('say last what is going on below an address', () => {
    const error = new ApiError('x', 'api', 403);
    const open = [page('', [directory('a')]), { type: 'open', uri: 'a' } as const];
    expect(seen(after(...open, { type: 'loading', uri: 'a' })).pop()).toBe('2 loading');
    expect(seen(after(...open, page('a', [file('f')], 'token'))).pop()).toBe('2 more');
    expect(seen(after(...open, { type: 'failed', uri: 'a', error })).pop()).toBe('2 error');
    expect(seen(after(...open, page('a', null))).pop()).toBe('2 empty');
  });

  it('show what was typed once, beside the places, and not what is a place', () => {
    const tree = after(
      page('', [directory('s3://a')]),
      { type: 'typed', uri: 's3://a' },
      { type: 'typed', uri: 's3://b' },
      { type: 'typed', uri: 's3://b' }
    );
    expect(seen(tree)).toEqual(['1s3://a', '1s3://b']);
    expect(rowsOf(tree).map(row => row.kind === 'entry' && [row.position, row.size])).toEqual([
      [1, 2],
      [2, 2]
    ]);
  });
});

describe('a reading', () => {
  it('never changes what it was given', () => {
    const before = after(page('', [directory('a')]), { type: 'open', uri: 'a' });
    const copy = JSON.stringify([[...before.branches], [...before.open], before.typed]);
    for (const action of [
      page('', [file('x')], 't', false),
      { type: 'close', uri: 'a' },
      { type: 'typed', uri: 'b' },
      { type: 'reset' }
    ] as TreeAction[]) {
      expect(reduceTree(before, action)).not.toBe(before);
    }
    expect(JSON.stringify([[...before.branches], [...before.open], before.typed])).toBe(copy);
  });

  it('that begins anew drops what is gone; the next page adds, and repeats nothing', () => {
    const two = after(page('', [file('a'), file('b')], 't'), page('', [file('b'), file('c')], '', false));
    expect(seen(two)).toEqual(['1a', '1b', '1c']);
    expect(seen(reduceTree(two, page('', [file('c')])))).toEqual(['1c']);
  });
});

describe('the arrow keys', () => {
  const rows = rowsOf(
    after(page('', [directory('a'), file('z')]), page('a', [directory('b'), file('f')]), {
      type: 'open',
      uri: 'a'
    })
  );

  it('lead out of a directory to it, and out of a closed one to its parent', () => {
    expect(rows.map(row => row.level)).toEqual([1, 2, 2, 1]);
    expect(step(rows, 2, 'ArrowLeft')).toEqual({ to: 0 });
    expect(step(rows, 1, 'ArrowLeft')).toEqual({ to: 0 });
    expect(step(rows, 0, 'ArrowLeft')).toEqual({ close: 'a' });
    expect(step(rows, 3, 'ArrowLeft')).toBeNull();
  });

  it.each(['x', '__proto__', 'constructor'])('are not %s', key => expect(step(rows, 0, key)).toBeNull());

  it('do nothing without a row', () => {
    expect(step([], 0, 'ArrowDown')).toBeNull();
    expect([step(rows, 9, 'ArrowLeft'), step(rows, 9, 'ArrowRight')]).toEqual([null, null]);
  });
});

describe('what can become an input', () => {
  const row = (tree: ITree): TreeRow | undefined => rowsOf(tree)[0];

  it('is an entry that the node does not refuse', () => {
    const tree = after(page('', [file('file:///a')]));
    expect(chosenOf(tree, row(tree))?.URI).toBe('file:///a');
    const refused = reduceTree(tree, { type: 'failed', uri: 'file:///a', error: new ApiError('x', 'api') });
    expect(chosenOf(refused, row(refused))).toBeNull();
  });

  it('is not a place as such, nor a row that is no entry', () => {
    const place = after(page('', [directory('s3://')]));
    expect(chosenOf(place, row(place))).toBeNull();
    const empty = after(page('', []));
    expect(chosenOf(empty, row(empty))).toBeNull();
    expect(chosenOf(empty, undefined)).toBeNull();
  });
});
