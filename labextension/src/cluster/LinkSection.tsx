import * as React from 'react';
import { IClusterState } from '../api/cluster';
import { EmptyNote, FactList } from '../components/basics';
import { useAsync, useBacalhau, useObservable } from '../components/context';
import { changeLink, linkFacts } from './linking';

/** Whether other nodes can join the connected one, how, and two buttons to change that. */
export function LinkSection(): JSX.Element {
  const app = useBacalhau();
  const { api, sync, trans } = app;
  const [changed, setChanged] = React.useState<IClusterState | null>(null);
  const generation = useObservable(sync.generation);
  const node = useObservable(sync.node);
  const { value, error } = useAsync(signal => api.cluster.state(signal), `${generation} ${node?.NodeID}`);
  React.useEffect(() => setChanged(null), [value]);
  const state = changed ?? value;
  if (!state) {
    return <EmptyNote>{error ? trans.__('This node does not tell.') : trans.__('Loading…')}</EmptyNote>;
  }
  const change = (open: boolean): void => {
    void changeLink(app, open).then(after => after && setChanged(after));
  };
  return (
    <>
      <FactList facts={linkFacts(state, trans)} />
      {!state.OpenedBy && (
        <div className="jp-Bacalhau-buttons">
          <button type="button" className="jp-Bacalhau-button" onClick={() => change(!state.IsOpen)}>
            {state.IsOpen ? trans.__('Close the cluster…') : trans.__('Open the cluster…')}
          </button>
        </div>
      )}
    </>
  );
}
