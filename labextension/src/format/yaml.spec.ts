import { load } from 'js-yaml';
import { toYaml } from './yaml';

const HOSTILE = [
  '',
  ' ',
  'no',
  'NULL',
  '~',
  '1e3',
  '.5',
  '0o17',
  '1:30',
  '2026-11-28',
  '- a',
  'a: b',
  'a #b',
  '#x',
  '*x',
  '&x',
  '!x',
  '|',
  '>',
  '%x',
  '@x',
  '`x',
  '"x"',
  "it's",
  '{}',
  '[]',
  '?',
  '-',
  '--- a',
  '\ttab',
  'a\nb',
  'a\nb\n',
  'a\nb\n\n\n',
  '\na',
  ' a\nb',
  'a\n\n  b\n',
  'a\r\nb',
  'line\n---\nline',
  'a\n\ttab',
  'ü 日本 😀',
  'ü 日本 😀\nnext',
  'a\u202eb',
  'a\u0000b\n',
  'trail ',
  'trail \nnext ',
  '__proto__',
  'constructor',
  'x'.repeat(5000),
  '\\n',
  'C:\\x'
];

const back = (value: unknown): unknown => load(toYaml(value));

describe('toYaml reads back as what was written', () => {
  it.each(HOSTILE)('for the text %j, at any depth', text => {
    const value = { a: text, list: [text, [text], { deep: { deeper: text } }], z: 1 };
    expect(back(value)).toEqual(value);
  });

  it.each(HOSTILE.filter(key => key !== '__proto__'))('for the key %j', key => {
    const value = { [key]: { [key]: [1] }, last: true };
    expect(back(value)).toEqual(value);
  });

  it('for a key that is the name of the prototype', () => {
    const value = JSON.parse('{"__proto__":{"x":1},"a":2}') as unknown;
    const parsed = back(value) as object;
    expect(Object.keys(parsed)).toEqual(['__proto__', 'a']);
    expect(({} as { x?: unknown }).x).toBeUndefined();
  });

  it.each([
    0,
    -1,
    1.5,
    1e21,
    5e-324,
    true,
    false,
    null,
    [],
    {},
    [[]],
    [[[1], [2]], []],
    { a: [] },
    [{}, { a: {} }],
    [null, { a: null }],
    [{ a: 1, b: [{ c: [] }] }]
  ])('for %j', value => expect(back(value)).toEqual(value));

  it('and leaves out what is undefined', () =>
    expect(back({ a: undefined, b: [undefined] })).toEqual({ b: [null] }));
});
