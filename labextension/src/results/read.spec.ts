import { base64Of, parseRows, textOf, wholeLines } from './read';

const utf8 = (text: string): Uint8Array => new Uint8Array(new TextEncoder().encode(text));

describe('wholeLines', () => {
  it.each(['abc', 'né', 'x日', 'x😀', '日', '😀', 'é'])('keeps all of %j, which is not cut', text =>
    expect(textOf(wholeLines(utf8(text)))).toBe(text)
  );

  it.each(['xé', 'x日', 'x😀', '日本日', '😀😀'])(
    'cut anywhere, %j loses only the character that was cut',
    text => {
      const bytes = utf8(text);
      for (let end = 0; end <= bytes.length; end++) {
        const decoded = textOf(wholeLines(bytes.subarray(0, end)));
        expect(text.startsWith(decoded)).toBe(true);
        expect(bytes.subarray(0, end).length - utf8(decoded).length).toBeLessThan(4);
      }
    }
  );

  it.each([[[0x80]], [[0x80, 0x80, 0x80, 0x80, 0x80]], [[0xff]], [[0x61, 0xff, 0x80]], [[]]])(
    'survives the bytes %j, which are no text',
    bytes => expect(wholeLines(Uint8Array.from(bytes)).length).toBeLessThanOrEqual(bytes.length)
  );
});

describe('base64Of', () => {
  it.each([0, 1, 2, 3, 0x7fff, 0x8000, 0x8001, 100_000])('of %d bytes reads back', count => {
    const bytes = Uint8Array.from({ length: count }, (_, at) => at % 251);
    expect(Array.from(atob(base64Of(bytes)), character => character.charCodeAt(0))).toEqual([...bytes]);
  });
});

describe('parseRows', () => {
  const write = (rows: string[][], separator: string, end: string): string =>
    rows.map(row => row.map(field => `"${field.replace(/"/g, '""')}"`).join(separator)).join(end) + end;
  const fields = [
    '',
    'a',
    '"',
    '""',
    'a"b',
    'a,b',
    'a\tb',
    'a\nb',
    'a\r\nb',
    '\n',
    ' ',
    '日本 😀',
    '__proto__'
  ];

  it.each([
    [',', '\n'],
    [',', '\r\n'],
    ['\t', '\n']
  ])('reads back what RFC 4180 wrote, between %j and %j', (separator, end) => {
    const rows = fields.map((_, at) => [...fields.slice(at), ...fields.slice(0, at)]);
    expect(parseRows(write(rows, separator, end), separator, 1000)).toEqual(rows);
  });

  it.each([
    ['a,b', [['a', 'b']]],
    ['a,b\r', [['a', 'b']]],
    ['a,', [['a', '']]],
    ['a\n\nb', [['a'], [''], ['b']]],
    ['', []],
    ['"open, never closed\nx', [['open, never closed\nx']]],
    ['a"b,c"', [['a"b', 'c"']]]
  ])('reads %j', (text, rows) => expect(parseRows(text, ',', 100)).toEqual(rows));

  it('stops after as many rows as are wanted', () => {
    const started = performance.now();
    expect(parseRows('a,b\n'.repeat(1_000_000), ',', 3)).toHaveLength(3);
    expect(parseRows('a', ',', 0)).toEqual([]);
    expect(performance.now() - started).toBeLessThan(30_000);
  });
});
