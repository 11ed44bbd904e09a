import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { EmptyNote, ErrorNote, IconButton } from '../components/basics';
import { useBacalhau, useObservable, usePageVisible, useStore } from '../components/context';
import { HealthNote } from '../components/HealthNote';
import { matchesHost, sortedHosts } from '../hosts/hosts';
import { HostsSection } from '../hosts/HostsSection';
import { useHosts } from '../hosts/use';
import { Observable } from '../store/signal';
import { NodeCard } from './NodeCard';
import { matches, sorted } from './nodes';
import { NodesWatch } from './watch';

/** From so many nodes on a filter helps, and so many are shown at first. */
const MANY = 6;
const AT_FIRST = 1000;

/** The hosts that run jobs; `form` says whether the form that adds a Docker host is open. */
export function NodesTab(props: { form: Observable<boolean> }): JSX.Element {
  const app = useBacalhau();
  const { trans } = app;
  const watch = React.useMemo(() => new NodesWatch(app), [app]);
  const inFront = usePageVisible();
  React.useEffect(() => (inFront ? watch.start() : undefined), [watch, inFront]);
  const known = useStore(state => state.nodes);
  const ready = useObservable(watch.ready);
  const problem = useObservable(watch.problem);
  const health = useObservable(app.sync.health);
  const own = useObservable(app.sync.node)?.NodeID ?? '';
  const view = useHosts();
  const [text, setText] = React.useState('');
  const [limit, setLimit] = React.useState(AT_FIRST);
  const hosts = React.useMemo(() => sortedHosts(view.hosts), [view.hosts]);
  // The node of a host is shown as the host: it says more, and once is enough.
  const nodes = React.useMemo(() => {
    const shownAsHosts = new Set(hosts.map(host => host.NodeID));
    return sorted([...known.values()].filter(node => !shownAsHosts.has(node.Info.NodeID)));
  }, [known, hosts]);
  const shown = nodes.filter(node => matches(node, text));
  const count = nodes.length + hosts.length;
  const shownCount = shown.length + hosts.filter(host => matchesHost(host, text)).length;
  const healthy = health.kind === 'ok' || health.kind === 'unknown' || health.kind === 'mismatch';
  return (
    <div className="jp-Bacalhau-fill">
      <div className="jp-Bacalhau-filter" role="search">
        {count >= MANY ? (
          <input
            className="jp-mod-styled"
            type="search"
            placeholder={trans.__('Filter: text or label=value')}
            aria-label={trans.__('Filter nodes by text or label')}
            value={text}
            onChange={event => setText(event.target.value)}
          />
        ) : (
          <span className="jp-Bacalhau-grow" />
        )}
        <span className="jp-Bacalhau-count" role="status">
          {count === 1
            ? trans.__('1 node')
            : trans.__('%1 nodes', shownCount === count ? count : `${shownCount}/${count}`)}
        </span>
        <IconButton
          icon={refreshIcon}
          label={trans.__('Read the nodes again')}
          onClick={() => {
            void watch.read();
            if (view.offered) {
              void view.read();
            }
          }}
        />
      </div>
      <HealthNote />
      {problem && healthy && (
        <ErrorNote error={problem} retry={() => void watch.read()} retryLabel={trans.__('Try again')} />
      )}
      <div className="jp-Bacalhau-scroll">
        <HostsSection view={view} filter={text} form={props.form} />
        {!ready && healthy && nodes.length === 0 && <EmptyNote>{trans.__('Loading…')}</EmptyNote>}
        {ready && !problem && healthy && nodes.length === 0 && (
          <EmptyNote>{trans.__('No node has joined this cluster.')}</EmptyNote>
        )}
        {count > 0 && shownCount === 0 && <EmptyNote>{trans.__('No node matches the filter.')}</EmptyNote>}
        <ul className="jp-Bacalhau-cards" aria-label={trans.__('Nodes')}>
          {shown.slice(0, limit).map(node => (
            <NodeCard key={node.Info.NodeID} node={node} own={own} />
          ))}
          {shown.length > limit && (
            <li>
              <button type="button" className="jp-Bacalhau-button" onClick={() => setLimit(limit + AT_FIRST)}>
                {trans.__('More…')}
              </button>
            </li>
          )}
        </ul>
      </div>
    </div>
  );
}
