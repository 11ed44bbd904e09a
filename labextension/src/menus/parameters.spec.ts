import { changed, parametersOf, typed } from './parameters';

const tagged = (source: unknown): unknown => ({ cells: [{ metadata: { tags: ['parameters'] }, source }] });

describe('what a person typed', () => {
  it.each([
    ['True', true],
    ['None', null],
    ["'a b'", 'a b'],
    ['"a"', 'a'],
    ['[1, 2]', [1, 2]],
    ['1e3', 1000],
    ['abc', 'abc'],
    ['true', true],
    ['NaN', 'NaN'],
    ['', ''],
    ["'it's'", "'it's'"],
    ["'", "'"]
  ])('%j is the value %j', (text, value) => expect(typed(text)).toEqual(value));

  it.each(['constructor', 'toString', '__proto__', 'hasOwnProperty', 'valueOf'])('%s is text', text =>
    expect(typed(text)).toBe(text)
  );
});

describe('what is sent', () => {
  it('keeps a parameter with the name of the prototype', () => {
    const sent = changed([{ name: '__proto__', text: '1' }], ['2']);
    expect(JSON.stringify(sent)).toBe('{"__proto__":2}');
  });

  it('holds only what differs, whatever is missing', () =>
    expect(
      changed(
        [
          { name: 'a', text: '1' },
          { name: 'b', text: '2' },
          { name: 'c', text: '3' }
        ],
        [' 1 ', '  ']
      )
    ).toEqual({}));
});

describe('the parameters of a notebook', () => {
  it.each([
    ['a=1', [['a', '1']]],
    ['a: int = 1', [['a', '1']]],
    ['a  =  1  # why', [['a', '1']]],
    ["a = 'x # y'  # z", [['a', "'x # y'"]]],
    ['a = b = 1', [['a', 'b = 1']]],
    ['a == 1', []],
    ['a =', []],
    ['a =   ', []],
    ['  a = 1', []],
    ['a.b = 1', []],
    ['a += 1', []],
    ['__proto__ = 1', [['__proto__', '1']]],
    ['# a = 1', []]
  ])('in %j are %j', (line, pairs) =>
    expect(parametersOf(tagged(line)).map(({ name, text }) => [name, text])).toEqual(pairs)
  );

  it.each([7, null, [7, null], { a: 1 }])('survive the source %j', source =>
    expect(() => parametersOf(tagged(source))).not.toThrow()
  );

  it.each([
    `a = x${' '.repeat(100_000)}y`,
    `a${' '.repeat(100_000)}b`,
    `a: ${':'.repeat(100_000)}`,
    `a = ${'"'.repeat(99_999)}#`
  ])('are read of hostile lines in no time', line => {
    const started = performance.now();
    parametersOf(tagged(line));
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
