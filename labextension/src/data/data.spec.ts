import { DataApi, IDataEntry } from '../api/data';
import { FakeTransport } from '../testing/transport';
import { DataBrowser } from './browser';
import { flagOf, inputOf, isInput } from './input';
import { rowsOf, step } from './tree';

const file = (URI: string, Name = URI.split('/').pop() ?? ''): IDataEntry => ({ Name, URI, Kind: 'file' });
const folder = (URI: string): IDataEntry => ({ Name: URI, URI, Kind: 'directory' });
const settle = (): Promise<void> => new Promise(done => setTimeout(done, 5));

describe('an entry as -i', () => {
  it.each([
    [folder('file:///data/sales'), `-i 'file:///data/sales:/inputs'`],
    [file('file:///data/a.csv'), `-i 'file:///data/a.csv:/inputs/a.csv'`],
    [file('s3://bucket/2026/a.csv'), `-i 's3://bucket/2026/a.csv:/inputs'`],
    [folder('s3://bucket/2026/'), `-i 's3://bucket/2026/:/inputs'`],
    [folder('ipfs://bafy'), `-i 'ipfs://bafy:/inputs'`]
  ])('%j', (entry, flag) => {
    expect(flagOf(entry)).toBe(flag);
  });

  it('keeps what a line or a comma form would take for its own away from them', () => {
    expect(inputOf(file(`file:///d/it's,%20{a}.csv`, `it's, {a}.csv`))).toBe(
      'file:///d/it%27s%2C%20%7Ba%7D.csv:/inputs/it_s_a_.csv'
    );
    expect(inputOf(file('s3://b/100%41 of "all"'))).toBe('s3://b/100%2541%20of%20%22all%22:/inputs');
    expect(flagOf(file(`ipfs://bafy/a,'b'`, 'x'))).toBe(`-i '"ipfs://bafy/a,'"'"'b'"'"':/inputs/x"'`);
  });

  it('never lets a name leave /inputs', () => {
    expect(inputOf(file('file:///d/x', '..'))).toBe('file:///d/x:/inputs/data');
    expect(inputOf(file('file:///d/x', '../../etc'))).toBe('file:///d/x:/inputs/.._.._etc');
  });

  it('is nothing that a place as such could be', () => {
    expect(isInput(folder('s3://'))).toBe(false);
    expect(isInput(folder('s3://bucket/'))).toBe(true);
  });
});

describe('DataBrowser', () => {
  function setUp(): { transport: FakeTransport; browser: DataBrowser; lines: () => string[] } {
    const transport = new FakeTransport();
    transport.answers.set('GET api/v1/compute/data', ({ uri, next_token: token }) => {
      switch (uri) {
        case '':
          return { Entries: [folder('file://')] };
        case 'file://':
          return token
            ? { Entries: [folder('file:///a'), folder('file:///secret')], NextToken: '' }
            : { Entries: [folder('file:///a')], NextToken: '1' };
        case 'file:///a':
          return { Entries: [] };
        default:
          return { status: 403, body: '{"Message":"this node does not share it","Hint":"ask its owner"}' };
      }
    });
    const browser = new DataBrowser(new DataApi(transport));
    const lines = (): string[] =>
      rowsOf(browser.tree.get()).map(
        row =>
          `${row.level} ${row.kind === 'entry' ? row.entry.URI : row.kind === 'error' ? row.error.message : row.kind}`
      );
    return { transport, browser, lines };
  }

  it('requests nothing before it is visible, and level by level afterwards', async () => {
    const { transport, browser, lines } = setUp();
    expect(transport.requests).toEqual([]);
    browser.start();
    browser.start();
    await settle();
    expect(transport.requests.length).toBe(1);
    browser.open('file://');
    expect(lines()).toEqual(['1 file://', '2 loading']);
    await settle();
    expect(lines()).toEqual(['1 file://', '2 file:///a', '2 more']);
  });

  it('reads page after page and shows nothing twice', async () => {
    const { browser, lines } = setUp();
    browser.start();
    await settle();
    browser.open('file://');
    await settle();
    browser.more('file://');
    browser.more('file://');
    await settle();
    expect(lines()).toEqual(['1 file://', '2 file:///a', '2 file:///secret']);
    browser.open('file:///a');
    await settle();
    expect(lines()[2]).toBe('3 empty');
  });

  it('shows a refusal in place, and requests again when it is opened again', async () => {
    const { transport, browser, lines } = setUp();
    browser.start();
    await settle();
    browser.visit('file:///etc');
    await settle();
    expect(lines()).toEqual(['1 file://', '1 file:///etc', '2 this node does not share it']);
    browser.toggle('file:///etc');
    browser.toggle('file:///etc');
    await settle();
    expect(transport.requests.length).toBe(3);
  });

  it('drops answers that belong to the cluster before', async () => {
    const { browser, lines } = setUp();
    browser.start();
    browser.reset();
    await settle();
    expect(lines()).toEqual([]);
  });

  it('is walked with the arrow keys', async () => {
    const { browser } = setUp();
    browser.start();
    await settle();
    const rows = (): ReturnType<typeof rowsOf> => rowsOf(browser.tree.get());
    expect(step(rows(), 0, 'ArrowRight')).toEqual({ open: 'file://' });
    browser.open('file://');
    await settle();
    expect(step(rows(), 0, 'ArrowRight')).toEqual({ to: 1 });
    expect(step(rows(), 2, 'ArrowLeft')).toEqual({ to: 0 });
    expect(step(rows(), 0, 'ArrowLeft')).toEqual({ close: 'file://' });
    expect(step(rows(), 2, 'ArrowDown')).toEqual({ to: 2 });
    expect(step(rows(), 0, 'x')).toBeNull();
  });
});
