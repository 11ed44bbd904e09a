import { IJob } from '../api/types';
import { codeOf, inputsOf, sourceText, untar } from './kit';

/** What the magic packs for a Python cell: cell.py, cell.json, job_runner.py, in/df.parquet. */
const KIT =
  'data:application/gzip;base64,' +
  'H4sIAK5DC2sE/+2X0W6CMBSGueYpSG/cEqMFWkxMdrE3MN4uy8I2zGq07UpJNGbvvqJTkRt2U6bZ3wTaQjjn9PvPoSDkOPDdqGsT' +
  'zoO6d63dN6/9jLOUp0HEfQdW269KmxsXUh++rtDHUr2+mErKwoz01lN8tagZY23dj3NK+SknDvrHlLl0iXrR5J/rv3mIw98cnlID' +
  'Zv+YwFuxWvmr/MPiOus/yc7vgv3+MElShvrvIzW0EdLeDT7E4D4Ua62MjVQZ9uEZPq6BwL7+l6WSHoPprP8sadc/x/7vUZCG6R0R' +
  'kkx35H1Bpk/uPNK5+awKS4ZkYfJ1QZ6/hkRVtr5rlXbTxsMY3jwBIcdn0T2tprP+6enf4Pj9n7IY+78nOS7Mzh7n8cUFTEAABEAA' +
  'BEAABEAABEAABEAABEAABEAABEAABEAABEAABG6ewDdaZi48ACgAAA==';

const job = (inputs: object[], Engine: object = {}): IJob => ({
  ID: 'j',
  Tasks: [{ Engine, InputSources: inputs }]
});
const input = (Target: string, Params: object, Type = 'urlDownload'): object => ({
  Target,
  Source: { Type, Params }
});

describe('the code of a job', () => {
  it('is the body of its cell, with the variables by name', async () => {
    expect(await codeOf(job([input('/inputs/.bacalhau', { URL: KIT })]))).toEqual({
      language: 'python',
      text: "print('hi')\nimport os",
      variables: ['df'],
      outputs: ['top']
    });
  });

  it.each<[object, string]>([
    [{ Type: 'process', Params: { Command: ['sh', '-c', 'echo a\necho b'] } }, 'echo a\necho b'],
    [
      { Type: 'docker', Params: { Image: 'i', Parameters: ['echo', 'a b', "it's"] } },
      `echo 'a b' 'it'"'"'s'`
    ],
    [{ Type: 'docker', Params: { Image: 'i' } }, ''],
    [{ Type: 'process', Params: { Command: 7 } }, ''],
    [{ Type: 'wasm', Params: { EntryModule: 'main.wasm', Entrypoint: '_start' } }, 'wasm run main.wasm'],
    [
      {
        Type: 'wasm',
        Params: { EntryModule: '/m', Entrypoint: 'go', ImportModules: ['lib'], Parameters: ['a b', '-c'] }
      },
      "wasm run --entry-point go -I lib /m -- 'a b' -c"
    ],
    [{ Type: 'wasm', Params: { EntryModule: 7 } }, "wasm run ''"]
  ])('without a cell is the program: %j', async (engine, text) =>
    expect((await codeOf(job([], engine))).text).toBe(text)
  );

  it.each(['data:application/gzip;base64,!!', `${KIT.slice(0, 120)}`, 'https://x/y', ''])(
    'stays readable when the kit is not: %j',
    async URL =>
      expect(await codeOf(job([input('/.bacalhau', { URL })]))).toMatchObject({ language: '', text: '' })
  );
});

it('inputs are named without the cell, without data and without signatures', () => {
  const inputs = [
    input('/inputs/.bacalhau', { URL: KIT }),
    input('/inputs/a', { URL: 'data:text/plain;base64,QUJD' }),
    input('/inputs/b', { URL: 'https://example.org/x?signature=secret' }),
    input('/inputs/c', { Bucket: 'sales', Key: '2026/*' }, 's3'),
    input('/inputs/d', { SourcePath: '/data' }, 'localDirectory')
  ];
  expect(inputsOf(job(inputs))).toEqual([
    { target: '/inputs/a', source: 'data inside the job (3 bytes)' },
    { target: '/inputs/b', source: 'https://example.org/x' },
    { target: '/inputs/c', source: 's3://sales/2026/*' },
    { target: '/inputs/d', source: '/data' }
  ]);
  expect(sourceText(undefined)).toBe('?');
});

it('an archive that is cut, or none, holds what it holds', () => {
  expect(untar(new Uint8Array(0)).size).toBe(0);
  expect(untar(new Uint8Array(700).fill(120)).size).toBe(0);
});
