import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/apputils';
import { IStatusBar } from '@jupyterlab/statusbar';
import { IDisposable } from '@lumino/disposable';
import * as React from 'react';
import { CommandIDs } from '../commands';
import { BacalhauContext, useBacalhau, useObservable, usePageVisible, useStore } from '../components/context';
import { bacalhauIcon } from '../icon';
import { Unseen } from '../jobs/unseen';
import { count } from '../store/state';
import { Observable } from '../store/signal';
import { IBacalhau } from '../tokens';
import { jobsAreShown } from './looks';

/** The item in the status bar: how many jobs run and wait; a click opens the panel. */
export const status: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:status',
  description: 'Running and waiting Bacalhau jobs in the status bar.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [IStatusBar],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, bar: IStatusBar | null): void => {
    if (bar === null) {
      return;
    }
    const failed = new Observable<number>(0);
    const unseen = new Unseen();
    bacalhau.sync.watchers.add(event => {
      if (unseen.take(event, jobsAreShown(bacalhau))) {
        failed.set(unseen.count);
      }
    });
    const open = (): void => {
      unseen.clear();
      failed.set(0);
      // What is new is what somebody wants to see.
      void app.commands.execute(CommandIDs.openPanel);
    };
    let item: IDisposable | null = null;
    const apply = (): void => {
      const isShown = bacalhau.settings.get().showInStatusBar;
      if (isShown && item === null) {
        const widget = ReactWidget.create(
          <BacalhauContext.Provider value={bacalhau}>
            <StatusItem open={open} failed={failed} />
          </BacalhauContext.Provider>
        );
        const registered = bar.registerStatusItem('bacalhau-jupyter:status', {
          align: 'left',
          rank: 90,
          item: widget
        });
        item = registered;
      } else if (!isShown && item !== null) {
        item.dispose();
        item = null;
      }
    };
    bacalhau.settings.subscribe(apply);
    apply();
  }
};

function StatusItem(props: { open: () => void; failed: Observable<number> }): JSX.Element {
  const { trans, sync } = useBacalhau();
  const inFront = usePageVisible();
  React.useEffect(() => (inFront ? sync.acquire('active') : undefined), [sync, inFront]);
  const state = useStore(whole => whole);
  const { running, queued } = React.useMemo(() => count(state), [state]);
  const failed = useObservable(props.failed);
  const health = useObservable(sync.health);
  const broken = health.kind === 'missing' || health.kind === 'down' || health.kind === 'failed';
  const text = broken
    ? trans.__('Bacalhau: not connected')
    : failed > 0
      ? trans.__('Bacalhau: %1 running, %2 waiting, %3 failed', running, queued, failed)
      : trans.__('Bacalhau: %1 running, %2 waiting', running, queued);
  return (
    <button type="button" className="jp-Bacalhau-status" title={text} aria-label={text} onClick={props.open}>
      <bacalhauIcon.react tag="span" elementSize="small" aria-hidden="true" />
      <span aria-hidden="true">{broken ? '!' : `${running} ▶ ${queued} ◔`}</span>
      {failed > 0 && !broken && (
        <span aria-hidden="true" className="jp-Bacalhau-status-failed">
          {`${failed} ✕`}
        </span>
      )}
    </button>
  );
}
