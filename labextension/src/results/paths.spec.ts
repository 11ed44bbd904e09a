import { drivePath, imageType, isInside, isPlain, kindOf, parseDrivePath } from './paths';

describe('the kind of a file', () => {
  it.each([
    'x.constructor',
    'x.__proto__',
    'x.valueOf',
    'x.hasOwnProperty',
    'x.',
    '.',
    '',
    'csv',
    'a.csv/b',
    '日本'
  ])('of %j is text', path => expect(kindOf(path)).toBe('text'));

  it.each([
    ['A.CSV', 'csv'],
    ['a.tar.gz', 'binary'],
    ['.png', 'image'],
    ['x/y.z/a.JSON', 'json'],
    ['a b.pq', 'parquet']
  ])('of %s is %s', (path, kind) => expect(kindOf(path)).toBe(kind));

  it.each([
    ['a.svg', 'image/svg+xml'],
    ['a.JPG', 'image/jpeg'],
    ['a.jpeg', 'image/jpeg'],
    ['x.y/a.png', 'image/png']
  ])('of the image %s is %s', (path, type) => expect(imageType(path)).toBe(type));
});

describe('a path on the drive', () => {
  it.each(['a', 'a/b/c', 'x y/日本.txt', '__proto__/constructor', 'a#b?c&d'])('of %j reads back', path => {
    const ref = { job: 'j-1', execution: 'e-1', path };
    expect(parseDrivePath(drivePath(ref))).toEqual(ref);
    expect(parseDrivePath(`/${drivePath(ref)}`)).toEqual(ref);
  });

  it.each(['', '/', 'j', 'j/e', 'j/e/', 'j//x', '//x', 'j/e/../x', 'j/../e/x', 'j/e/a\\b', 'j/e/\u202ex'])(
    '%j names no file',
    path => expect(parseDrivePath(path)).toBeNull()
  );

  it('has an end', () => {
    expect(isInside('a'.repeat(4096))).toBe(true);
    expect(isInside('a'.repeat(4097))).toBe(false);
  });

  it('that is plain is inside', () => {
    const parts = ['a', '..', '.', '', ' ', '\\', '\u202e', '\n', '...', 'é'];
    for (const one of parts) {
      for (const other of parts) {
        const path = `${one}/${other}`;
        expect(isPlain(path) && !isInside(path)).toBe(false);
      }
    }
  });
});
