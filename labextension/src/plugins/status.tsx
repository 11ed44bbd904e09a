import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ReactWidget } from '@jupyterlab/apputils';
import { IStatusBar } from '@jupyterlab/statusbar';
import { IDisposable } from '@lumino/disposable';
import * as React from 'react';
import { CommandIDs } from '../commands';
import { BacalhauContext, useBacalhau, useObservable, usePageVisible, useStore } from '../components/context';
import { bacalhauIcon } from '../icon';
import { count } from '../store/state';
import { IBacalhau } from '../tokens';

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
    let item: IDisposable | null = null;
    const apply = (): void => {
      const wanted = bacalhau.settings.get().showInStatusBar;
      if (wanted && item === null) {
        const widget = ReactWidget.create(
          <BacalhauContext.Provider value={bacalhau}>
            <StatusItem open={() => void app.commands.execute(CommandIDs.openPanel)} />
          </BacalhauContext.Provider>
        );
        const registered = bar.registerStatusItem('bacalhau-jupyter:status', {
          align: 'left',
          rank: 90,
          item: widget
        });
        item = registered;
      } else if (!wanted && item !== null) {
        item.dispose();
        item = null;
      }
    };
    bacalhau.settings.subscribe(apply);
    apply();
  }
};

function StatusItem(props: { open: () => void }): JSX.Element {
  const { trans, sync } = useBacalhau();
  const inFront = usePageVisible();
  React.useEffect(() => (inFront ? sync.acquire('active') : undefined), [sync, inFront]);
  const state = useStore(whole => whole);
  const { running, queued } = React.useMemo(() => count(state), [state]);
  const health = useObservable(sync.health);
  const broken = health.kind === 'missing' || health.kind === 'down' || health.kind === 'failed';
  const text = broken
    ? trans.__('Bacalhau: not connected')
    : trans.__('Bacalhau: %1 running, %2 waiting', running, queued);
  return (
    <button type="button" className="jp-Bacalhau-status" title={text} aria-label={text} onClick={props.open}>
      <bacalhauIcon.react tag="span" elementSize="small" aria-hidden="true" />
      <span aria-hidden="true">{broken ? '!' : `${running} ▶ ${queued} ◔`}</span>
    </button>
  );
}
