import { Api } from '../api/client';
import { ApiError, asApiError } from '../api/errors';
import { IJob } from '../api/types';
import { sameCluster } from '../renderer/record';
import { GROUP, IManyRecord } from './record';

/** What came of asking for the jobs of a group. */
export type GroupLookup =
  | { readonly kind: 'asking' }
  | { readonly kind: 'found'; readonly jobs: readonly IJob[] }
  /** No server half: the record is all there is. */
  | { readonly kind: 'missing' }
  /** Another cluster is connected than the one that ran the jobs. */
  | { readonly kind: 'elsewhere'; readonly cluster: string }
  /** The cluster is the right one, and knows none of the jobs any longer. */
  | { readonly kind: 'gone' }
  /** Nobody could be asked; worth another try. */
  | { readonly kind: 'failed'; readonly error: ApiError };

const PAGE = 1000;

/** Ask for all jobs of a group at once, by the label that they share; the ids of the record decide which are meant. */
export async function lookUpGroup(record: IManyRecord, api: Api): Promise<GroupLookup> {
  const meant = new Set(record.members.map(member => member.job).filter(Boolean));
  const jobs: IJob[] = [];
  try {
    let token = '';
    do {
      const page = await api.jobs.list({ limit: PAGE, labels: `${GROUP}=${record.group}`, token });
      jobs.push(...(page.Items ?? []).filter(job => meant.has(job.ID)));
      token = page.NextToken ?? '';
    } while (token);
    if (jobs.length > 0 || meant.size === 0) {
      return { kind: 'found', jobs };
    }
    const cluster = (await api.agent.status()).cluster?.url ?? '';
    return record.endpoint && !sameCluster(cluster, record.endpoint)
      ? { kind: 'elsewhere', cluster }
      : { kind: 'gone' };
  } catch (reason) {
    const error = asApiError(reason);
    return error.kind === 'extension' ? { kind: 'missing' } : { kind: 'failed', error };
  }
}
