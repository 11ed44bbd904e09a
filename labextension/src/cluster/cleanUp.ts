import { IDiskUsage, INodeInfo } from '../api/types';
import { bytes } from '../format/units';
import { IBacalhau } from '../tokens';
import { ITranslate } from './connections';

const DAY_S = 86400;

/** Ages in seconds that people may choose from; 0 is everything. */
export const AGES: readonly number[] = [0, DAY_S, 7 * DAY_S, 30 * DAY_S];

export function ageLabel(age: number, trans: ITranslate): string {
  switch (age) {
    case 0:
      return trans.__('of any age');
    case DAY_S:
      return trans.__('older than a day');
    case 7 * DAY_S:
      return trans.__('older than a week');
    default:
      return trans.__('older than %1 days', Math.round(age / DAY_S));
  }
}

/** What is kept, in words: `1.2 GB, 14 results`. */
export function usageText(usage: IDiskUsage | undefined, many: (count: number) => string): string {
  return `${bytes(usage?.Bytes ?? 0)}, ${many(usage?.Count ?? 0)}`;
}

export function resultsText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 result') : trans.__('%1 results', count);
}

export function inputsText(count: number, trans: ITranslate): string {
  return count === 1 ? trans.__('1 input') : trans.__('%1 inputs', count);
}

/** Remove results of finished jobs; asks first, and returns what is gone in words, empty where nothing was done. */
export async function cleanResults(app: IBacalhau, age: number): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).results, count => resultsText(count, trans));
  return attempt(
    app,
    trans.__('Clean up results?'),
    trans.__(
      'Results %1 of jobs that are over go from the disk of the connected node (it keeps %2). Links to them end; jobs, logs and what was published elsewhere stay.',
      ageLabel(age, trans),
      kept
    ),
    () => app.api.disk.clearResults(age),
    count => resultsText(count, trans)
  );
}

/** Remove the inputs that are kept to be shared; asks first. */
export async function cleanInputCache(app: IBacalhau): Promise<string> {
  const { trans } = app;
  const kept = usageText(disk(app.sync.node.get()).inputs, count => inputsText(count, trans));
  return attempt(
    app,
    trans.__('Empty the input cache?'),
    trans.__(
      'Inputs that the connected node keeps to be shared go from its disk (%1). The next job that wants one fetches it again.',
      kept
    ),
    () => app.api.disk.clearInputCache(),
    count => inputsText(count, trans)
  );
}

/** What the connected node keeps on its disk. */
export function disk(node: INodeInfo | null): { results?: IDiskUsage; inputs?: IDiskUsage } {
  return { results: node?.ComputeNodeInfo?.LocalResults, inputs: node?.ComputeNodeInfo?.InputCache };
}

async function attempt(
  app: IBacalhau,
  title: string,
  text: string,
  work: () => Promise<IDiskUsage>,
  many: (count: number) => string
): Promise<string> {
  const { trans, host, sync } = app;
  if (!(await host.confirm(title, text, trans.__('Remove')))) {
    return '';
  }
  try {
    const gone = await work();
    await sync.readNode();
    return trans.__('Gone: %1', usageText(gone, many));
  } catch (reason) {
    host.showError(trans.__('The disk could not be cleaned up'), reason);
    return '';
  }
}
