import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Notification } from '@jupyterlab/apputils';
import { IStreamEvent } from '../api/types';
import { CommandIDs } from '../commands';
import { duration } from '../format/units';
import { title } from '../jobs/actions';
import { Endings, endingText, IView } from '../jobs/endings';
import { outcomeOfEvent } from '../jobs/unseen';
import { Outcome } from '../store/outcome';
import { Watcher } from '../store/sync';
import { IBacalhau } from '../tokens';
import { jobsAreShown } from './looks';

/** Tells when a job ends while the reader looks elsewhere. */
export const notify: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:notify',
  description: 'Notifications when Bacalhau jobs end.',
  autoStart: true,
  requires: [IBacalhau],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau): void => {
    const endings = new Endings();
    const watch: Watcher = (event, before) => {
      const ending = endings.take(event, before, viewOf(bacalhau));
      if (ending !== null) {
        tell(app, bacalhau, event, `${title(ending.entry)} (${duration(ending.ms)})`);
      }
    };
    let leave: (() => void) | null = null;
    const apply = (): void => {
      const notifies = bacalhau.settings.get().notifyWhenDone;
      if (notifies && leave === null) {
        const release = bacalhau.sync.acquire('active');
        bacalhau.sync.watchers.add(watch);
        leave = () => {
          bacalhau.sync.watchers.delete(watch);
          release();
        };
      } else if (!notifies && leave !== null) {
        leave();
        leave = null;
      }
    };
    bacalhau.settings.subscribe(apply);
    void app.restored.then(apply);
  }
};

function viewOf(bacalhau: IBacalhau): IView {
  return { hidden: document.hidden, jobsShown: jobsAreShown(bacalhau) };
}

function tell(app: JupyterFrontEnd, bacalhau: IBacalhau, event: IStreamEvent, name: string): void {
  const outcome = outcomeOfEvent(event);
  Notification.emit(endingText(event, name, bacalhau.trans), NOTICES[outcome] ?? 'warning', {
    autoClose: document.hidden ? false : 8000,
    actions: [
      {
        label: bacalhau.trans.__('Show'),
        callback: () => void app.commands.execute(CommandIDs.showLogs, { job: event.job })
      }
    ]
  });
}

const NOTICES: Partial<Record<Outcome, 'success' | 'error'>> = { succeeded: 'success', failed: 'error' };
