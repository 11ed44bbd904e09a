import { describe as inWords } from './results';

const download = (URL: unknown): string => inWords({ Type: 'local', Params: { URL } }).download;

describe('the download of a result', () => {
  it.each(['http://host/x', 'HTTPS://host/x?y=1', '/user/x/bacalhau/file'])('is offered for %s', url =>
    expect(download(url)).toBe(url)
  );

  it.each([
    'javascript:alert(1)',
    'data:text/html,x',
    'file:///etc/passwd',
    '//elsewhere.example/x',
    '/\\elsewhere.example',
    '/\t/elsewhere.example',
    '/\n\\elsewhere.example',
    ' javascript:alert(1)',
    'java\nscript:alert(1)',
    'x',
    '',
    null,
    7,
    ['http://host']
  ])('is not offered for %j', url => expect(download(url)).toBe(''));
});

describe('the place of a result', () => {
  it('hides the signature of an address', () =>
    expect(inWords({ Params: { PreSignedURL: 'https://s3/x?X-Amz-Signature=secret' } }).place).toBe(
      'https://s3/x'
    ));

  it('prefers bucket and key, then the CID', () => {
    expect(inWords({ Params: { Bucket: 'b', Key: 'k/l', CID: 'c' } }).place).toBe('s3://b/k/l');
    expect(inWords({ Params: { CID: 'c', URL: 'http://x' } }).place).toBe('c');
  });

  it('spells out what can not be seen', () =>
    expect(inWords({ Type: 'a\u202eb', Params: { CID: '\u202ec' } })).toMatchObject({
      type: 'a\\u202eb',
      place: '\\u202ec'
    }));

  it.each([{}, { Params: null }, { Params: {} }])('is empty for %j', spec =>
    expect(inWords(spec)).toEqual({ type: '', place: '', download: '' })
  );
});
