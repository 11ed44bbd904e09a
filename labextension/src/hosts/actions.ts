import { asApiError } from '../api/errors';
import { IHostRecord, Leaving } from '../api/hosts';
import { readable } from '../format/text';
import { IBacalhau } from '../tokens';

type Change = 'pause' | 'resume' | 'retry';

/** Pause or resume a host, or try the way there now; says whether it was done. */
export async function change(app: IBacalhau, host: IHostRecord, verb: Change): Promise<boolean> {
  const { trans, api } = app;
  const name = readable(host.Name);
  const failures = {
    pause: trans.__('%1 could not be paused', name),
    resume: trans.__('%1 could not be resumed', name),
    retry: trans.__('The way to %1 could not be tried', name)
  };
  try {
    await api.hosts[verb](host.Name);
    return true;
  } catch (reason) {
    app.host.showError(failures[verb], reason);
    return false;
  }
}

/** End what is copied to a host; one that has just ended by itself is no fault. */
export async function stopCopy(app: IBacalhau, host: IHostRecord): Promise<void> {
  const { trans, api } = app;
  try {
    await api.hosts.stopPush(host.Name);
  } catch (reason) {
    if (asApiError(reason).status !== 409) {
      app.host.showError(trans.__('The copy to %1 could not be stopped', readable(host.Name)), reason);
    }
  }
}

/**
 * Remove a host, with what becomes of the jobs that are there. `asks` means that some are there, of which this does
 * not say what becomes.
 */
export async function remove(
  app: IBacalhau,
  host: IHostRecord,
  jobs: Leaving
): Promise<'removed' | 'asks' | 'kept'> {
  const { trans, api } = app;
  const name = readable(host.Name);
  if (jobs === '') {
    if ((host.Executions ?? 0) > 0) {
      return 'asks';
    }
    const title = trans.__('Remove the host %1?', name);
    const text = trans.__('Jobs run there no more. Nothing on the host itself is changed.');
    if (!(await app.host.confirm(title, text, trans.__('Remove')))) {
      return 'kept';
    }
  }
  try {
    await api.hosts.remove(host.Name, jobs);
    return 'removed';
  } catch (reason) {
    if (jobs === '' && asApiError(reason).status === 409) {
      // A job has come there since the list was read.
      return 'asks';
    }
    app.host.showError(trans.__('%1 could not be removed', name), reason);
    return 'kept';
  }
}
