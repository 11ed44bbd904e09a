import { ServerConnection } from '@jupyterlab/services';
import { IFileRef, ResultFilesApi } from '../api/files';
import { ResultsDrive } from './drive';

const WORDS = { tooBig: 'too big', binary: 'binary', readOnly: 'read only', noFile: 'no file' };

function drive(bytes: Uint8Array, total = bytes.length): { resultsDrive: ResultsDrive; asked: IFileRef[] } {
  const asked: IFileRef[] = [];
  const files: Partial<ResultFilesApi> = {
    read: ref => {
      asked.push(ref);
      return Promise.resolve({ bytes, total });
    },
    url: ref => `/download/${ref.path}`
  };
  return {
    resultsDrive: new ResultsDrive(files as ResultFilesApi, {} as ServerConnection.ISettings, WORDS),
    asked
  };
}

const utf8 = (text: string): Uint8Array => new Uint8Array(new TextEncoder().encode(text));

describe('the drive of results', () => {
  it('gives the text of a file, and says that nobody can write it', async () => {
    const { resultsDrive, asked } = drive(utf8('a,b\n'));
    expect(await resultsDrive.get('j/e/x/a.csv')).toMatchObject({
      name: 'a.csv',
      path: 'j/e/x/a.csv',
      format: 'text',
      content: 'a,b\n',
      size: 4,
      writable: false
    });
    expect(asked).toEqual([{ job: 'j', execution: 'e', path: 'x/a.csv' }]);
    expect(resultsDrive.cut('j/e/x/a.csv')).toBeUndefined();
  });

  it('remembers of which file it gave only the beginning', async () => {
    const { resultsDrive } = drive(utf8('one\ntwo'), 5_000_000);
    expect((await resultsDrive.get('j/e/a.txt')).content).toBe('one\n');
    expect(resultsDrive.cut('j/e/a.txt')).toEqual({ bytes: { length: 4 }, total: 5_000_000 });
    expect(resultsDrive.cut('j/e/b.txt')).toBeUndefined();
  });

  it('gives images as base64, and never a part of one', async () => {
    expect(await drive(utf8('png')).resultsDrive.get('j/e/a.png')).toMatchObject({
      format: 'base64',
      mimetype: 'image/png',
      content: 'cG5n'
    });
    await expect(drive(utf8('png'), 99_000_000).resultsDrive.get('j/e/a.png')).rejects.toThrow('too big');
  });

  it('reads nothing when only the facts are wanted', async () => {
    const { resultsDrive, asked } = drive(utf8('x'));
    expect(await resultsDrive.get('j/e/a.txt', { content: false })).toMatchObject({
      content: null,
      format: null
    });
    expect(asked).toEqual([]);
  });

  it.each(['j', 'j/e', 'j/e/../../x', 'j/e/a\u202eb'])('has no file at %j', async path => {
    const { resultsDrive, asked } = drive(utf8('x'));
    await expect(resultsDrive.get(path)).rejects.toThrow('no file');
    await expect(resultsDrive.getDownloadUrl(path)).rejects.toThrow('read only');
    expect(asked).toEqual([]);
  });

  it('is a directory at its top', async () =>
    expect(await drive(utf8('')).resultsDrive.get('')).toMatchObject({ type: 'directory', content: [] }));

  it('refuses whatever would change something', async () => {
    const { resultsDrive } = drive(utf8('x'));
    const changes = [
      () => resultsDrive.save(),
      () => resultsDrive.delete(),
      () => resultsDrive.rename(),
      () => resultsDrive.copy(),
      () => resultsDrive.newUntitled(),
      () => resultsDrive.createCheckpoint(),
      () => resultsDrive.restoreCheckpoint(),
      () => resultsDrive.deleteCheckpoint()
    ];
    for (const change of changes) {
      await expect(change()).rejects.toThrow('read only');
    }
    expect(await resultsDrive.listCheckpoints()).toEqual([]);
  });

  it('leads downloads to the file itself', async () =>
    expect(await drive(utf8('x')).resultsDrive.getDownloadUrl('j/e/d/a')).toBe('/download/d/a'));
});
