import { encode, Query } from './query';

const read = (query: Query): [string, string][] => [...new URLSearchParams(encode(query))];

describe('encode', () => {
  it.each(['a&b=c', '#x', 'a b+c', '日本 😀', '%2F', '../', '\n', '__proto__', '='])(
    'keeps %j in its place',
    text => {
      expect(read({ [`k${text}`]: text, last: 1 })).toEqual([
        [`k${text}`, text],
        ['last', '1']
      ]);
    }
  );

  it('leaves out what says nothing, and only that', () =>
    expect(encode({ a: undefined, b: '', c: 0, d: false })).toBe('?c=0&d=false'));

  it('writes nothing for nothing', () => {
    expect(encode({})).toBe('');
    expect(encode({ a: undefined, b: [] })).toBe('');
  });

  it('repeats a list, with its empty members', () =>
    expect(read({ a: ['1', '', '1'] })).toEqual([
      ['a', '1'],
      ['a', ''],
      ['a', '1']
    ]));
});
