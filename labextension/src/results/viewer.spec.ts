import { HEAD_BYTES, IMAGE_BYTES } from './paths';
import { viewerOf } from './viewer';

describe('the viewer of a file', () => {
  it.each([
    ['a.csv', 0, 'CSVTable'],
    ['a.tsv', HEAD_BYTES + 1, 'TSVTable'],
    ['a.json', HEAD_BYTES, 'JSON'],
    ['a.json', HEAD_BYTES + 1, 'Editor'],
    ['a.png', IMAGE_BYTES, 'Image'],
    ['a.png', IMAGE_BYTES + 1, null],
    ['a.parquet', 5, null],
    ['a.zip', 5, null],
    ['a.constructor', 5, 'Editor'],
    ['a.__proto__', 5, 'Editor']
  ])('%s of %d bytes is %s', (path, size, viewer) => expect(viewerOf(path, size)).toBe(viewer));

  it.each(['a.html', 'a.svg', 'a.md', 'a.ipynb', 'a.js', 'A.HTM'])('never renders %s', path =>
    expect(['Editor', 'Image', 'JSON', null]).toContain(viewerOf(path, 1))
  );
});
