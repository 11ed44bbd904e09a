import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { isOver, IStreamEvent } from '../api/types';
import { CommandIDs } from '../commands';
import { stateLabel } from '../components/basics';
import { duration, shortId } from '../format/units';
import { title } from '../jobs/actions';
import { IBacalhau } from '../tokens';

/** A job that took less is over before anybody looked elsewhere. */
const WORTH_TELLING_MS = 10_000;

/** Tells when a job ends while the reader looks elsewhere. */
export const notify: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:notify',
  description: 'Notifications when Bacalhau jobs end.',
  autoStart: true,
  requires: [IBacalhau],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau): void => {
    const told = new Set<string>();
    const watch = (event: IStreamEvent): void => {
      const key = `${event.job} ${event.job_version ?? 0}`;
      if (!isOver(event.state || undefined) || told.has(key)) {
        return;
      }
      told.add(key);
      const entry = bacalhau.store.snapshot().jobs.get(event.job);
      // Only what was seen under way: a replay must not tell of jobs that ended long ago.
      if (entry === undefined || isOver(entry.state) || elsewhere(bacalhau) === false) {
        return;
      }
      const took = Date.parse(event.time) - entry.created;
      if (took < WORTH_TELLING_MS && !document.hidden) {
        return;
      }
      tell(app, bacalhau, event, `${title(entry)} (${duration(took)})`);
    };
    let leave: (() => void) | null = null;
    const apply = (): void => {
      const wanted = bacalhau.settings.get().notifyWhenDone;
      if (wanted && leave === null) {
        const release = bacalhau.sync.acquire('active');
        bacalhau.sync.watchers.add(watch);
        leave = () => {
          bacalhau.sync.watchers.delete(watch);
          release();
        };
      } else if (!wanted && leave !== null) {
        leave();
        leave = null;
      }
    };
    bacalhau.settings.subscribe(apply);
    void app.restored.then(apply);
  }
};

function elsewhere(bacalhau: IBacalhau): boolean {
  const panel = document.querySelector('#bacalhau-panel');
  return document.hidden || bacalhau.tab.get() !== 'jobs' || !panel || panel.clientHeight === 0;
}

function tell(app: JupyterFrontEnd, bacalhau: IBacalhau, event: IStreamEvent, name: string): void {
  const { trans } = bacalhau;
  const text = trans.__('%1: %2', name || shortId(event.job), stateLabel(trans, event.state ?? ''));
  Notification.emit(text, event.state === 'Completed' ? 'success' : 'warning', {
    autoClose: document.hidden ? false : 8000,
    actions: [
      {
        label: trans.__('Show'),
        callback: () => void app.commands.execute(CommandIDs.showLogs, { job: event.job })
      }
    ]
  });
}
