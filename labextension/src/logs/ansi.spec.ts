import { plain, spans } from './ansi';

const ESC = '\x1b';
const classesOf = (codes: string): string =>
  (spans(`${ESC}[${codes}mx`)[0]?.classes ?? '').replace(/jp-Bacalhau-ansi-/g, '');

describe('the style of a piece', () => {
  it.each([
    ['31', 'red'],
    ['97', 'white'],
    ['1;31', 'red bold'],
    ['31;1;4', 'red bold underline'],
    ['1;2;22', ''],
    ['3;23', ''],
    ['4;24', ''],
    ['31;39', ''],
    ['1;31;0', ''],
    ['31;', ''],
    ['', ''],
    ['38;5;31', ''],
    ['38;5;31;1', 'bold'],
    ['48;2;1;2;3;32', 'green'],
    ['58;5;1;3', 'italic'],
    ['58;2;1;4;3', ''],
    ['38:5:31', ''],
    ['38:2::255:1:31', ''],
    ['38:2::255:1:31;1', 'bold'],
    ['4:3', 'underline'],
    ['4;4:0', ''],
    ['38', ''],
    ['38;5', ''],
    ['999;-1;1e1', ''],
    ['?25', '']
  ])('of %j is %j', (codes, classes) => expect(classesOf(codes)).toBe(classes));

  it('ends where a later sequence ends it, and nothing before', () =>
    expect(spans(`a${ESC}[1mb${ESC}[31mc${ESC}[mde`).map(span => [span.text, span.classes])).toEqual([
      ['a', ''],
      ['b', 'jp-Bacalhau-ansi-bold'],
      ['c', 'jp-Bacalhau-ansi-red jp-Bacalhau-ansi-bold'],
      ['de', '']
    ]));
});

describe('whatever a line holds', () => {
  const pieces = [
    ESC,
    '[',
    ']',
    'm',
    '0',
    ';',
    '31',
    '\x07',
    '\\',
    'P',
    'x',
    '<b>',
    '\u202e',
    '\x9b',
    '\r',
    ' ',
    '日'
  ];
  // A fixed sequence that looks random: the same lines at each run.
  let seed = 7;
  const next = (below: number): number => (seed = (seed * 48271) % 2147483647) % below;
  const lines = Array.from({ length: 2000 }, () =>
    Array.from({ length: next(12) }, () => pieces[next(pieces.length)] ?? '').join('')
  );

  it('the pieces together are the plain text, without any control character', () => {
    for (const line of lines) {
      const text = spans(line)
        .map(span => span.text)
        .join('');
      expect(text).toBe(plain(line));
      expect(text).not.toMatch(/[\x00-\x08\x0b-\x1f\x7f-\x9f\u202a-\u202e]/);
    }
  });

  it('only our own classes come out', () => {
    for (const { classes } of lines.flatMap(spans)) {
      expect(classes).toMatch(/^(jp-Bacalhau-ansi-[a-z]+( |$))*$/);
    }
  });
});
