import { ApiError, asApiError } from '../api/errors';
import { IJob, IStatus } from '../api/types';
import { IRecord, sameCluster } from './record';

/** What came of asking for the job of a record. */
export type Lookup =
  | { kind: 'asking' }
  | { kind: 'found'; job: IJob }
  /** No server half: the record is all there is. */
  | { kind: 'missing' }
  /** Another cluster is connected than the one that ran the job. */
  | { kind: 'elsewhere'; cluster: string }
  /** The cluster is the right one, and no longer knows the job. */
  | { kind: 'gone' }
  /** Nobody could be asked; worth another try. */
  | { kind: 'failed'; error: ApiError };

export interface IAsk {
  job(id: string): Promise<IJob>;
  status(): Promise<IStatus>;
}

/**
 * Ask for the job of a record. The id decides, not the address: ids are unique, and one cluster has several addresses.
 */
export async function lookUp(record: IRecord, ask: IAsk): Promise<Lookup> {
  try {
    const job = await ask.job(record.job);
    // The API also takes the first letters of an id, which could be anybody's.
    return job.ID === record.job ? { kind: 'found', job } : { kind: 'gone' };
  } catch (reason) {
    const error = asApiError(reason);
    if (error.kind === 'extension') {
      return { kind: 'missing' };
    }
    if (error.status !== 404 && error.status !== 400) {
      return { kind: 'failed', error };
    }
  }
  try {
    const cluster = (await ask.status()).cluster?.url ?? '';
    return record.endpoint && !sameCluster(cluster, record.endpoint)
      ? { kind: 'elsewhere', cluster }
      : { kind: 'gone' };
  } catch (reason) {
    return { kind: 'failed', error: asApiError(reason) };
  }
}
