import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, InputDialog } from '@jupyterlab/apputils';
import { CommandIDs, textOf } from '../commands';
import * as React from 'react';
import { INodeState } from '../api/types';
import { hasFeature } from '../components/context';
import { change } from '../nodes/actions';
import { actions, MembershipAction, nodeName, sorted } from '../nodes/nodes';
import { NodesTab } from '../nodes/NodesTab';
import { Observable } from '../store/signal';
import { IBacalhau } from '../tokens';

/** The Nodes tab and the commands about nodes. */
export const nodes: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:nodes',
  description: 'The Nodes tab of the Bacalhau panel, and its commands.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, palette: ICommandPalette | null): void => {
    const { trans, store, api, host } = bacalhau;
    const category = trans.__('Bacalhau');
    const form = new Observable<boolean>(false);
    const Component = (): JSX.Element => React.createElement(NodesTab, { form });
    bacalhau.tabs.add({ id: 'nodes', label: trans.__('Nodes'), rank: 20, Component });

    const read = async (): Promise<INodeState[]> => {
      try {
        const list = await api.nodes.list();
        store.dispatch({ type: 'nodes', nodes: list });
        return sorted(list);
      } catch (reason) {
        host.showError(trans.__('The nodes could not be read'), reason);
        return [];
      }
    };
    app.commands.addCommand(CommandIDs.refreshNodes, {
      label: trans.__('Read the list of nodes again'),
      execute: read
    });
    palette?.addItem({ command: CommandIDs.refreshNodes, category });
    app.commands.addCommand(CommandIDs.addHost, {
      label: trans.__('Add a Docker host…'),
      execute: async () => {
        const node = bacalhau.sync.node.get();
        if (node !== null && !hasFeature(node, 'hosts')) {
          const reason = new Error(trans.__('The connected node has no Docker hosts.'));
          host.showError(trans.__('A Docker host can’t be added'), reason);
          return;
        }
        form.set(true);
        await app.commands.execute(CommandIDs.showTab, { tab: 'nodes' });
      }
    });
    palette?.addItem({ command: CommandIDs.addHost, category });

    const add = (id: string, label: string, question: string, action: MembershipAction): void => {
      app.commands.addCommand(id, {
        label,
        execute: async args => {
          const own = bacalhau.sync.node.get()?.NodeID ?? '';
          const possible = (await read()).filter(node => actions(node, own).includes(action));
          const nodeId = textOf(args.node) || (await choose(question, possible));
          const node = possible.find(known => known.Info.NodeID === nodeId);
          if (node) {
            await change(bacalhau, node, action);
          }
        }
      });
      palette?.addItem({ command: id, category });
    };
    const choose = async (title: string, possible: readonly INodeState[]): Promise<string> => {
      if (possible.length === 0) {
        host.showError(title, new Error(trans.__('There is no node for which this can be done.')));
        return '';
      }
      const items = possible.map(node => `${nodeName(node)} (${node.Info.NodeID})`);
      const { value } = await InputDialog.getItem({ title, items });
      return possible[value === null ? -1 : items.indexOf(value)]?.Info.NodeID ?? '';
    };
    add(
      CommandIDs.approveNode,
      trans.__('Approve a node…'),
      trans.__('Which node shall be approved?'),
      'approve'
    );
    add(
      CommandIDs.rejectNode,
      trans.__('Reject a node…'),
      trans.__('Which node shall be rejected?'),
      'reject'
    );
    add(
      CommandIDs.deleteNode,
      trans.__('Delete a node…'),
      trans.__('Which node shall be deleted?'),
      'delete'
    );
  }
};
