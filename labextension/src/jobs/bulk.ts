import { asApiError } from '../api/errors';
import { IBacalhau } from '../tokens';
import { again } from './again';
import { canRerun, canStop, title } from './actions';

/** The feature of a node that deletes jobs that are over (an addition of ours). */
export const DELETE_JOBS = 'delete-jobs';

const AT_ONCE = 4;

/** Stop those of the jobs that are not over; asks first, unless `asks` is false. Whether the person meant it. */
export async function stopAll(app: IBacalhau, ids: readonly string[], asks = true): Promise<boolean> {
  const { trans, host, api } = app;
  const meant = ids.filter(id => canStop(app.store.snapshot().jobs.get(id)));
  const question =
    meant.length === 1
      ? trans.__('Stop job %1?', nameOf(app, meant[0] ?? ''))
      : trans.__('Stop %1 jobs?', meant.length);
  const text =
    meant.length === 1
      ? trans.__('Its program ends, and what it wrote is not kept.')
      : trans.__('Their programs end, and what they wrote is not kept.');
  if (meant.length === 0 || (asks && !(await host.confirm(question, text, trans.__('Stop'))))) {
    return false;
  }
  await each(app, meant, trans.__('Some jobs could not be stopped'), id =>
    api.jobs.stop(id, 'stopped by hand')
  );
  return true;
}

/** Submit those of the jobs that are over once more; returns the new ids. */
export async function rerunAll(app: IBacalhau, ids: readonly string[]): Promise<string[]> {
  const { trans, api, store } = app;
  const made: string[] = [];
  const meant = ids.filter(id => canRerun(store.snapshot().jobs.get(id)));
  await each(app, meant, trans.__('Some jobs could not be run again'), async id => {
    // A list may leave out large members; what runs again is the whole job.
    const { JobID: copy } = await api.jobs.submit(again(await api.jobs.get(id)));
    made.push(copy);
    store.dispatch({ type: 'jobs', jobs: [await api.jobs.get(copy)] });
  });
  if (made.length > 0) {
    store.flush();
    app.selected.set(made[0] ?? '');
  }
  return made;
}

/** Run a job that is over once more: a copy of it, with a row of its own. Details that are open show the new one. */
export async function rerun(app: IBacalhau, id: string): Promise<void> {
  const [copy] = await rerunAll(app, [id]);
  const open = app.details.get();
  if (copy !== undefined && open?.job === id) {
    app.details.set({ job: copy, part: open.part });
  }
}

/** Delete those of the jobs that are over, with their logs and results on the node; asks first. */
export async function removeAll(app: IBacalhau, ids: readonly string[]): Promise<void> {
  const { trans, host, api, store } = app;
  const meant = ids.filter(id => canRerun(store.snapshot().jobs.get(id)));
  if (meant.length === 0 || !app.sync.node.get()?.Features?.includes(DELETE_JOBS)) {
    return;
  }
  const question =
    meant.length === 1
      ? trans.__('Delete job %1?', nameOf(app, meant[0] ?? ''))
      : trans.__('Delete %1 jobs?', meant.length);
  const text =
    meant.length === 1
      ? trans.__(
          'It leaves the list for good, with its log and the results on this node. Results in buckets or on IPFS stay.'
        )
      : trans.__(
          'They leave the list for good, with their logs and the results on this node. Results in buckets or on IPFS stay.'
        );
  if (await host.confirm(question, text, trans.__('Delete'))) {
    await each(app, meant, trans.__('Some jobs could not be deleted'), async id => {
      await api.jobs.remove(id);
      forget(app, id);
    });
  }
}

function forget(app: IBacalhau, id: string): void {
  app.store.dispatch({ type: 'gone', jobs: [id] });
  app.picks.set(new Set([...app.picks.get()].filter(other => other !== id)));
  if (app.details.get()?.job === id) {
    app.details.set(null);
  }
}

function nameOf(app: IBacalhau, id: string): string {
  const entry = app.store.snapshot().jobs.get(id);
  return entry ? title(entry) : id;
}

/** Do something for each of some jobs, a few at a time; one message tells what went wrong. */
async function each(
  app: IBacalhau,
  ids: readonly string[],
  failure: string,
  work: (id: string) => Promise<unknown>
): Promise<void> {
  const queue = [...ids];
  const problems: unknown[] = [];
  const worker = async (): Promise<void> => {
    for (let id = queue.shift(); id !== undefined; id = queue.shift()) {
      try {
        await work(id);
      } catch (reason) {
        if (asApiError(reason).status === 404) {
          forget(app, id);
        }
        problems.push(reason);
      }
    }
  };
  await Promise.all(Array.from({ length: AT_ONCE }, worker));
  if (problems.length > 0) {
    app.host.showError(failure, problems[0]);
  }
}
