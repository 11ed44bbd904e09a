import { ApiError } from '../api/errors';
import { IJob, IStatus } from '../api/types';
import { IAsk, lookUp } from './lookup';
import { readRecord, sameCluster } from './record';

const JOB = 'j-761f5690-d9cb-416a-be49-a0a336e0a202';

describe('readRecord', () => {
  it('reads what display.py writes', () => {
    const record = readRecord({
      version: 1,
      job_id: JOB,
      endpoint: 'http://a',
      state: 'Failed',
      exit_code: 3,
      duration_s: 1.5
    });
    expect(record).toMatchObject({ job: JOB, state: 'Failed', exitCode: 3, durationMs: 1500, newer: false });
  });

  it.each([null, 1, 'x', [], {}, { job_id: 7 }, { job_id: '' }, { job_id: '', phase: '' }])(
    'finds no job in %j',
    data => expect(readRecord(data)).toBeNull()
  );

  it('reads a card that has no job yet', () =>
    expect(readRecord({ job_id: '', phase: 'starting the node' })).toMatchObject({
      job: '',
      phase: 'starting the node'
    }));

  it('leaves out members of the wrong type, cuts endless ones, and knows newer versions', () => {
    const record = readRecord({
      version: 2,
      job_id: JOB,
      state: ['x'],
      exit_code: '3',
      node: 'n'.repeat(1e6)
    });
    expect(record).toMatchObject({ state: '', exitCode: null, newer: true });
    expect(record?.node.length).toBeLessThan(5000);
  });
});

describe('lookUp', () => {
  const record = readRecord({ job_id: JOB, endpoint: 'http://127.0.0.1:1234' })!;
  const status = (url: string | null): IStatus =>
    ({ cluster: url === null ? null : { url, source: '', embedded: false } }) as IStatus;
  const asking = (job: () => Promise<IJob>, url: string | null = 'http://localhost:1234/'): IAsk => ({
    job,
    status: () => Promise.resolve(status(url))
  });
  const missing = (): Promise<IJob> => Promise.reject(new ApiError('not found', 'api', 404));

  it('finds the job, and never another one whose id begins alike', async () => {
    expect(
      (
        await lookUp(
          record,
          asking(() => Promise.resolve({ ID: JOB }))
        )
      ).kind
    ).toBe('found');
    expect(
      (
        await lookUp(
          record,
          asking(() => Promise.resolve({ ID: `${JOB}0` }))
        )
      ).kind
    ).toBe('gone');
  });

  it('distinguishes a removed job from another cluster', async () => {
    expect(await lookUp(record, asking(missing))).toEqual({ kind: 'gone' });
    expect(await lookUp(record, asking(missing, 'http://other:1'))).toEqual({
      kind: 'elsewhere',
      cluster: 'http://other:1'
    });
    expect(await lookUp(record, asking(missing, null))).toEqual({ kind: 'elsewhere', cluster: '' });
  });

  it('distinguishes a missing server extension from one that fails', async () => {
    const fail = (error: ApiError) =>
      lookUp(
        record,
        asking(() => Promise.reject(error))
      );
    expect((await fail(new ApiError('', 'extension', 404))).kind).toBe('missing');
    expect((await fail(new ApiError('down', 'api', 503))).kind).toBe('failed');
    expect((await fail(new ApiError('no', 'network'))).kind).toBe('failed');
  });
});

it('sameCluster sees through spellings', () => {
  expect(sameCluster('http://localhost:1/', 'http://127.0.0.1:1')).toBe(true);
  expect(sameCluster('http://a:1', 'https://a:1')).toBe(false);
});
