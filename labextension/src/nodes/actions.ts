import { INodeState } from '../api/types';
import { IBacalhau } from '../tokens';
import { MembershipAction, nodeName } from './nodes';

/** Change a node's membership; asks first. */
export async function change(app: IBacalhau, node: INodeState, action: MembershipAction): Promise<void> {
  const { trans, host, api, store } = app;
  const name = nodeName(node);
  const words = {
    approve: {
      title: trans.__('Approve node %1?', name),
      text: trans.__('Jobs may run on it from now on.'),
      accept: trans.__('Approve'),
      failure: trans.__('The node could not be approved')
    },
    reject: {
      title: trans.__('Reject node %1?', name),
      text: trans.__('It gets no jobs any more; what runs there is given up and may run elsewhere.'),
      accept: trans.__('Reject'),
      failure: trans.__('The node could not be rejected')
    },
    delete: {
      title: trans.__('Delete node %1?', name),
      text: trans.__('The cluster forgets it. If it comes back, it joins as a new one.'),
      accept: trans.__('Delete'),
      failure: trans.__('The node could not be deleted')
    }
  }[action];
  if (!(await host.confirm(words.title, words.text, words.accept))) {
    return;
  }
  try {
    await api.nodes.change(node.Info.NodeID, action);
    store.dispatch({ type: 'nodes', nodes: await api.nodes.list() });
  } catch (reason) {
    host.showError(words.failure, reason);
  }
}
