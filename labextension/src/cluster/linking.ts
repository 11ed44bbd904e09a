import { IClusterState } from '../api/cluster';
import { IBacalhau } from '../tokens';
import { ITranslate } from './connections';

/** The reason of a link that is about to be open. */
const OPENING = 'the cluster is being opened';

/** What the Cluster tab says about the link, as pairs of a name and a value. */
export function linkFacts(state: IClusterState, trans: ITranslate): [string, string][] {
  const reason = state.Link.Reason ?? '';
  if (!state.IsOpen) {
    const closed = trans.__('can’t join: the cluster is closed');
    return [[trans.__('Other nodes'), reason === OPENING ? trans.__('can join in a moment') : closed]];
  }
  const link = state.Link.IsUp
    ? trans.__('up')
    : reason === OPENING
      ? trans.__('opening')
      : trans.__('down: %1', reason);
  return [
    [trans.__('Other nodes'), trans.__('join at %1', state.Address ?? '')],
    [trans.__('Link'), link],
    [trans.__('Nodes that joined'), String(state.Nodes)],
    ...(state.NeedsToken
      ? ([[trans.__('Token'), state.TokenFile || trans.__('in the node’s configuration')]] as [
          string,
          string
        ][])
      : []),
    ...(state.OpenedBy ? ([[trans.__('Open because of'), state.OpenedBy]] as [string, string][]) : [])
  ];
}

/** Open or close the cluster; asks first. Returns how it is then, null where nothing was done. */
export async function changeLink(app: IBacalhau, open: boolean): Promise<IClusterState | null> {
  const { trans, host, api } = app;
  const title = open ? trans.__('Open the cluster?') : trans.__('Close the cluster?');
  const text = open
    ? trans.__(
        'Nodes of the connected node’s machine can join then, if they have its token: they get jobs, and see what is in them. The node stays until you close the cluster. For other machines use: cluster open --host.'
      )
    : trans.__(
        'Nodes that joined go on with what they run, and get nothing new until the cluster is opened again.'
      );
  const label = open ? trans.__('Open') : trans.__('Close');
  if (!(await host.confirm(title, text, label))) {
    return null;
  }
  try {
    return await (open ? api.cluster.open() : api.cluster.close());
  } catch (reason) {
    host.showError(
      open ? trans.__('The cluster could not be opened') : trans.__('The cluster could not be closed'),
      reason
    );
    return null;
  }
}
