import { ResultFilesApi } from '../api/files';
import { FakeTransport } from '../testing/transport';
import { drivePath, isInside, isPlain, kindOf, parseDrivePath } from './paths';
import { NotShown, parseRows, readHead, wholeLines } from './read';
import { lines, STEP, treeOf } from './tree';

describe('paths', () => {
  it.each(['../x', 'a/../../x', '/etc/passwd', 'a//b', './x', 'a\\b', 'a\nb', 'a\u202etxt.exe', ''])(
    'refuses %j',
    path => expect(isPlain(path)).toBe(false)
  );

  it.each(['a', 'outputs/a b.csv', 'ü/日本.txt', 'a..b', '.hidden'])('takes %j', path =>
    expect(isPlain(path)).toBe(true)
  );

  it.each(['outputs/a\nb', 'caf%E9.txt', 'a\u202eb', '...a', 'a\\b'])('lets %j be downloaded', path =>
    expect(isInside(path)).toBe(true)
  );

  it.each(['', '..', 'a/../b', 'a//b', 'a/ ./b', 'a/..\\..', '...'])('lets %j lead nowhere', path =>
    expect(isInside(path)).toBe(false)
  );

  it('names files on the drive and reads them back, and nothing else', () => {
    const ref = { job: 'j-1', execution: 'e-1', path: 'outputs/a.csv' };
    expect(parseDrivePath(drivePath(ref))).toEqual(ref);
    expect(parseDrivePath('j-1/e-1')).toBeNull();
    expect(parseDrivePath('j-1/e-1/../../secret')).toBeNull();
  });

  it('knows kinds by ending', () =>
    expect(['A.CSV', 'x.tar.gz', 'stdout', 'p.parquet', 'a.md'].map(kindOf)).toEqual([
      'csv',
      'binary',
      'text',
      'parquet',
      'text'
    ]));
});

describe('treeOf', () => {
  it('puts directories first and keeps what tries to get out as one name', () => {
    const top = treeOf([
      { Path: 'b.txt' },
      { Path: 'a/x' },
      { Path: 'a', Kind: 'directory' },
      { Path: '../../x' }
    ]);
    expect(top.entries.map(entry => entry.name)).toEqual(['a', '../../x', 'b.txt']);
  });

  it('shows a directory of thousands in steps', () => {
    const top = treeOf(Array.from({ length: 1000 }, (_, index) => ({ Path: `f${index}` })));
    const shown = lines(top, new Map());
    expect(shown.length).toBe(STEP + 1);
    expect(shown[STEP]?.more).toBe(1000 - STEP);
  });

  it('survives paths of a thousand levels', () => {
    expect(() => treeOf([{ Path: 'a/'.repeat(1000) + 'x' }])).not.toThrow();
  });
});

describe('reading', () => {
  const words = { tooBig: 'too big', binary: 'binary' };
  const api = (bytes: Uint8Array, total: number): ResultFilesApi => {
    const files = new ResultFilesApi(new FakeTransport());
    files.read = () => Promise.resolve({ bytes, total });
    return files;
  };
  const text = (value: string): Uint8Array =>
    Uint8Array.from(unescape(encodeURIComponent(value)), char => char.charCodeAt(0));

  it('cuts a large text behind a whole line', async () => {
    const head = await readHead(
      api(text('one\ntwo\nthr'), 99),
      { job: 'j', execution: 'e', path: 'a.txt' },
      words
    );
    expect([head.cut, head.bytes.length]).toEqual([true, 8]);
  });

  it('does not cut a character in two', () => {
    expect(wholeLines(text('aé').subarray(0, 2)).length).toBe(1);
    expect(wholeLines(text('aé')).length).toBe(3);
    expect(wholeLines(text('ab')).length).toBe(2);
  });

  it('refuses files that are not text, and images that are too large', async () => {
    const ref = (path: string) => ({ job: 'j', execution: 'e', path });
    await expect(readHead(api(text('a\0b'), 3), ref('data'), words)).rejects.toThrow(NotShown);
    await expect(readHead(api(text('x'), 1e9), ref('a.png'), words)).rejects.toThrow('too big');
    await expect(readHead(api(text('x'), 1), ref('a.zip'), words)).rejects.toThrow('binary');
  });

  it('reads rows as RFC 4180 has them', () =>
    expect(parseRows('a,"b,""c""",\r\n"x\ny",2\n', ',', 9)).toEqual([
      ['a', 'b,"c"', ''],
      ['x\ny', '2']
    ]));
});
