import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog, Notification } from '@jupyterlab/apputils';
import * as React from 'react';
import { cleanImages, cleanInputCache, cleanPackages, cleanResults } from '../cluster/cleanUp';
import { choices, removable } from '../cluster/choices';
import { ClusterTab } from '../cluster/ClusterTab';
import { Connections } from '../cluster/connections';
import { CommandIDs, textOf } from '../commands';
import { hasFeature } from '../components/context';
import { IBacalhau } from '../tokens';

/** The Cluster tab, and the commands about connections and disks. */
export const cluster: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:cluster',
  description: 'The Cluster tab of the Bacalhau panel, and its commands.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, palette: ICommandPalette | null): void => {
    const { trans, sync, tabs, host } = bacalhau;
    const connections = new Connections(bacalhau);
    tabs.add({
      id: 'cluster',
      label: trans.__('Cluster'),
      rank: 40,
      Component: () => <ClusterTab connections={connections} />
    });
    sync.generation.subscribe(() => {
      // A job of the old cluster is none of the new one's.
      bacalhau.details.set(null);
      bacalhau.selected.set('');
    });

    const add = (
      id: string,
      label: string,
      execute: (args: { [name: string]: unknown }) => unknown,
      isVisible: () => boolean = () => true
    ): void => {
      app.commands.addCommand(id, { label, isVisible, execute });
      palette?.addItem({ command: id, category: trans.__('Bacalhau') });
    };
    const showTab = (): Promise<unknown> => app.commands.execute(CommandIDs.showTab, { tab: 'cluster' });
    const local = trans.__('This machine');

    add(CommandIDs.switchConnection, trans.__('Switch to another cluster…'), async args => {
      await connections.read();
      const saved = connections.list.get();
      const title = trans.__('Which cluster?');
      if (saved === null || saved.fixed_by) {
        host.showError(
          trans.__('The connection can’t be switched'),
          connections.problem.get() ??
            new Error(
              trans.__(
                '%1 in the environment of the Jupyter server selects the cluster.',
                saved?.fixed_by ?? ''
              )
            )
        );
        return;
      }
      let name = textOf(args.name);
      if (args.name === undefined) {
        const usable = choices(saved, local);
        const items = usable.map(choice => choice.label);
        const current = Math.max(
          0,
          usable.findIndex(choice => choice.name === saved.current)
        );
        const { value } = await InputDialog.getItem({ title, items, current });
        const choice = usable.find(known => known.label === value);
        if (choice === undefined) {
          return;
        }
        name = choice.name;
      }
      if (name !== saved.current) {
        await connections.use(name);
      }
    });
    add(CommandIDs.addConnection, trans.__('Add a connection to a cluster…'), async () => {
      connections.form.set({ editing: null });
      await showTab();
    });
    add(CommandIDs.removeConnection, trans.__('Remove a connection…'), async () => {
      await connections.read();
      const items = removable(connections.list.get());
      const title = trans.__('Which connection shall be removed?');
      if (items.length === 0) {
        host.showError(title, new Error(trans.__('There is no connection to remove.')));
        return;
      }
      const { value } = await InputDialog.getItem({ title, items });
      if (value !== null) {
        await connections.remove(value);
      }
    });

    const canCleanUp = (): boolean => hasFeature(sync.node.get(), 'clean-up');
    const tell = (text: string): void => {
      if (text) {
        Notification.success(text, { autoClose: 5000 });
      }
    };
    add(
      CommandIDs.cleanResults,
      trans.__('Clean up results…'),
      async () => tell(await cleanResults(bacalhau, 0)),
      canCleanUp
    );
    add(
      CommandIDs.cleanInputCache,
      trans.__('Empty the input cache…'),
      async () => tell(await cleanInputCache(bacalhau)),
      canCleanUp
    );
    add(
      CommandIDs.cleanPackages,
      trans.__('Remove packages…'),
      async () => tell(await cleanPackages(bacalhau)),
      () => canCleanUp() && !!sync.node.get()?.Packages
    );
    add(
      CommandIDs.cleanImages,
      trans.__('Remove images…'),
      async () => tell(await cleanImages(bacalhau)),
      () => canCleanUp() && !!sync.node.get()?.Images
    );
    sync.node.subscribe(() => {
      app.commands.notifyCommandChanged(CommandIDs.cleanResults);
      app.commands.notifyCommandChanged(CommandIDs.cleanImages);
      app.commands.notifyCommandChanged(CommandIDs.cleanPackages);
      app.commands.notifyCommandChanged(CommandIDs.cleanInputCache);
    });
  }
};
