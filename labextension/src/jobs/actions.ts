import { asApiError } from '../api/errors';
import { isOver } from '../api/types';
import { shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { DetailsPart, IBacalhau } from '../tokens';
import { readable } from '../format/text';

/** Stop a job; asks first. */
export async function stop(app: IBacalhau, id: string): Promise<void> {
  const { trans, host } = app;
  const title = trans.__('Stop job %1?', nameOf(app, id));
  if (
    !(await host.confirm(
      title,
      trans.__('Its executions end; what they wrote is not published.'),
      trans.__('Stop')
    ))
  ) {
    return;
  }
  await attempt(app, id, trans.__('The job could not be stopped'), () =>
    app.api.jobs.stop(id, 'stopped by hand')
  );
}

/** Run a job that is over once more, as a new version. */
export async function rerun(app: IBacalhau, id: string): Promise<void> {
  await attempt(app, id, app.trans.__('The job could not be run again'), () => app.api.jobs.rerun(id));
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

/** What a person calls the job: its name where it has one, else the short id. */
export function title(entry: IJobEntry): string {
  const { Name: name } = entry.job;
  return name && name !== entry.id ? readable(name) : shortId(entry.id);
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
