import { asApiError } from '../api/errors';
import { isOver } from '../api/types';
import { shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { DetailsPart, IBacalhau } from '../tokens';
import { titleOf } from './title';

/** Stop a job; asks first, unless it is clear to the person what the button stops. */
export async function stop(app: IBacalhau, id: string, asks = true): Promise<void> {
  const { trans, host } = app;
  const title = trans.__('Stop job %1?', nameOf(app, id));
  if (
    asks &&
    !(await host.confirm(
      title,
      trans.__('Its program ends, and what it wrote is not kept.'),
      trans.__('Stop')
    ))
  ) {
    return;
  }
  await attempt(app, id, trans.__('The job could not be stopped'), () =>
    app.api.jobs.stop(id, 'stopped by hand')
  );
}

/** Show the details of a job in the panel. */
export function show(app: IBacalhau, id: string, part: DetailsPart = 'timeline'): void {
  app.selected.set(id);
  app.tab.set('jobs');
  app.details.set({ job: id, part });
}

/** Python that gets hold of the job. */
export function code(id: string): string {
  return `from bacalhau_jupyter import Client\n\njob = Client().job(${JSON.stringify(id)})\njob`;
}

export function canStop(entry: IJobEntry | undefined): boolean {
  return entry !== undefined && !isOver(entry.state);
}

export function canRerun(entry: IJobEntry | undefined): boolean {
  return entry !== undefined && isOver(entry.state);
}

export function hasResults(entry: IJobEntry | undefined): boolean {
  const kind = entry?.job.Type;
  return entry?.state === 'Completed' && (kind === 'batch' || kind === 'ops');
}

/** What a person calls the job. */
export function title(entry: IJobEntry): string {
  return titleOf(entry.job);
}

function nameOf(app: IBacalhau, id: string): string {
  const entry = app.store.snapshot().jobs.get(id);
  return entry ? title(entry) : shortId(id);
}

async function attempt(
  app: IBacalhau,
  job: string,
  failure: string,
  work: () => Promise<unknown>
): Promise<void> {
  try {
    await work();
  } catch (reason) {
    if (asApiError(reason).status === 404) {
      app.store.dispatch({ type: 'gone', jobs: [job] });
    }
    app.host.showError(failure, reason);
  }
}
