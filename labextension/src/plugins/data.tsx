import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import * as React from 'react';
import { CommandIDs } from '../commands';
import { hasFeature } from '../components/context';
import { DataBrowser } from '../data/browser';
import { DataTab } from '../data/DataTab';
import { IBacalhau } from '../tokens';

/** The Data tab, where the connected node lets people look at its data. */
export const data: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:data',
  description: 'The Data tab of the Bacalhau panel, and its commands.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, palette: ICommandPalette | null): void => {
    const { trans, sync, tabs, api } = bacalhau;
    const browser = new DataBrowser(api.data);
    sync.generation.subscribe(() => browser.reset());
    const tab = {
      id: 'data',
      label: trans.__('Data'),
      rank: 30,
      Component: () => <DataTab browser={browser} />
    };
    const offered = (): boolean => hasFeature(sync.node.get(), 'browse-data');
    let remove: (() => void) | null = null;
    const apply = (): void => {
      // While a node can't be asked, what was there stays: it may be back in a moment.
      if (remove === null && offered()) {
        remove = tabs.add(tab);
      } else if (remove !== null && sync.node.get() !== null && !offered()) {
        remove();
        remove = null;
      }
      app.commands.notifyCommandChanged(CommandIDs.refreshData);
    };
    app.commands.addCommand(CommandIDs.refreshData, {
      label: trans.__('Read the data of the node again'),
      isVisible: offered,
      execute: () => browser.refresh()
    });
    palette?.addItem({ command: CommandIDs.refreshData, category: trans.__('Bacalhau') });
    sync.node.subscribe(apply);
    apply();
  }
};
