import * as React from 'react';
import { INodeState } from '../api/types';
import { FactList } from '../components/basics';
import { Meter } from '../components/Meter';
import { useBacalhau } from '../components/context';
import { change } from './actions';
import {
  actions,
  engines,
  gpuProblems,
  gpus,
  forPeople,
  meters,
  linkName,
  moment,
  nodeName,
  problems,
  software
} from './nodes';
import { readable, readableLines } from '../format/text';
import { useVisible } from '../components/visible';

/** About as high as a card of a node with one engine, in pixels. */
const USUAL_HEIGHT = 150;

/** One host. Out of sight it keeps its place, its height and its name, and has nothing inside. */
export const NodeCard = React.memo(function NodeCard(props: { node: INodeState; own: string }): JSX.Element {
  const { node, own } = props;
  const { trans } = useBacalhau();
  const card = React.useRef<HTMLLIElement>(null);
  const visible = useVisible(card);
  const height = React.useRef(USUAL_HEIGHT);
  React.useLayoutEffect(() => {
    if (visible && card.current) {
      height.current = card.current.offsetHeight || height.current;
    }
  });
  return (
    <li
      ref={card}
      className="jp-Bacalhau-card"
      aria-label={trans.__('Node %1', nodeName(node))}
      style={visible ? undefined : { minHeight: height.current }}
    >
      {visible && <NodeContent node={node} own={own} />}
    </li>
  );
});

/** How a host is, how much of it is taken, and what it can run. */
function NodeContent(props: { node: INodeState; own: string }): JSX.Element {
  const { node, own } = props;
  const { trans } = useBacalhau();
  const { Info: info } = node;
  const compute = info.ComputeNodeInfo;
  const running = compute?.RunningExecutions ?? 0;
  const waiting = compute?.EnqueuedExecutions ?? 0;
  return (
    <>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={readable(info.NodeID)}>
          {nodeName(node)}
        </span>
        {running > 0 && <span>{trans.__('%1 running', running)}</span>}
        {waiting > 0 && <span>{trans.__('%1 waiting', waiting)}</span>}
      </div>
      <NodeHealth node={node} />
      {/* A node that takes nothing reports nothing free: its meters would say that all is taken. */}
      {!compute?.Unavailable && (
        <div className="jp-Bacalhau-meters">
          {meters(info, trans).map(meter => (
            <Meter key={meter.kind} {...meter} />
          ))}
        </div>
      )}
      <NodeGpus node={node} />
      <NodeEngines node={node} />
      <NodeProblems node={node} />
      <NodeFacts node={node} />
      <NodeActions node={node} own={own} />
    </>
  );
}

function NodeHealth(props: { node: INodeState }): JSX.Element {
  const { node } = props;
  const { trans } = useBacalhau();
  const connected = node.Connection === 'CONNECTED';
  const connection = node.ConnectionState ?? {};
  const heard = moment(connection.LastHeartbeat);
  const lost = connected ? '' : moment(connection.DisconnectedSince);
  const kind = [software(node.Info), linkName(node)].filter(Boolean).join(' · ');
  const membership = {
    APPROVED: '',
    PENDING: trans.__('waits for approval'),
    REJECTED: trans.__('rejected'),
    UNKNOWN: ''
  }[node.Membership ?? 'UNKNOWN'];
  return (
    <div className="jp-Bacalhau-job-second">
      <span className="jp-Bacalhau-badge" data-state={connected ? 'Completed' : 'Failed'}>
        <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
          {connected ? '✓' : '✕'}
        </span>
        {connected ? trans.__('Connected') : trans.__('Disconnected')}
      </span>
      {membership && <span className="jp-Bacalhau-aside jp-mod-warn">{membership}</span>}
      <span className="jp-Bacalhau-aside">{readable(kind)}</span>
      {lost && <span className="jp-Bacalhau-aside">{trans.__('since %1', lost)}</span>}
      {heard && <span className="jp-Bacalhau-aside">{trans.__('last heard %1', heard)}</span>}
      {node.Info.ComputeNodeInfo?.Unavailable && (
        <p className="jp-Bacalhau-message">{readableLines(node.Info.ComputeNodeInfo.Unavailable)}</p>
      )}
      {(node.Notices ?? []).map(notice => (
        <p key={notice} className="jp-Bacalhau-message">
          {readableLines(notice)}
        </p>
      ))}
      {!connected && connection.LastError && (
        <p className="jp-Bacalhau-message">{readableLines(connection.LastError)}</p>
      )}
    </div>
  );
}

function NodeGpus(props: { node: INodeState }): JSX.Element | null {
  const { trans } = useBacalhau();
  const all = gpus(props.node.Info, trans);
  const missing = gpuProblems(props.node.Info);
  if (all.length + missing.length === 0) {
    return null;
  }
  return (
    <ul className="jp-Bacalhau-lines" aria-label={trans.__('GPUs')}>
      {all.map((gpu, at) => (
        <li key={at} data-off={gpu.isFree === false ? true : undefined}>
          {gpu.text}
          {gpu.isFree !== null && ` · ${gpu.isFree ? trans.__('free') : trans.__('in use')}`}
        </li>
      ))}
      {missing.map(problem => (
        <li key={problem.task} data-off={true}>
          {trans.__('%1: %2', problem.task, problem.message)}
        </li>
      ))}
    </ul>
  );
}

function NodeEngines(props: { node: INodeState }): JSX.Element | null {
  const { trans } = useBacalhau();
  const all = engines(props.node.Info);
  if (all.length === 0) {
    return null;
  }
  return (
    <ul className="jp-Bacalhau-lines" aria-label={trans.__('Engines')}>
      {all.map(engine => (
        <li key={engine.name} data-off={engine.problem ? true : undefined}>
          <strong>{engine.name}</strong>{' '}
          {engine.problem ? trans.__('off: %1', engine.problem) : engine.runtime}
        </li>
      ))}
    </ul>
  );
}

/** What the node's work in the background can't do: nothing fails at once for it, so it is told here. */
function NodeProblems(props: { node: INodeState }): JSX.Element | null {
  const { trans } = useBacalhau();
  const all = problems(props.node.Info);
  if (all.length === 0) {
    return null;
  }
  return (
    <ul className="jp-Bacalhau-lines" aria-label={trans.__('Problems')}>
      {all.map(problem => (
        <li key={problem.task} className="jp-Bacalhau-message" role="alert">
          {trans.__('Problem with %1: %2', readable(problem.task), readable(problem.message))}
        </li>
      ))}
    </ul>
  );
}

function NodeFacts(props: { node: INodeState }): JSX.Element {
  const { trans } = useBacalhau();
  const { Info: info, ConnectionState: connection } = props.node;
  const version = info.BacalhauVersion;
  const platform = [version?.GOOS, version?.GOARCH].filter(Boolean).join('/');
  const list = (items: readonly string[] | null | undefined): string => forPeople(items).join(', ');
  const facts: [string, string][] = [
    [trans.__('ID'), info.NodeID],
    [trans.__('Version'), [version?.GitVersion, platform].filter(Boolean).join(' · ')],
    [trans.__('bacalhau-jupyter'), info.JupyterVersion ?? ''],
    [
      trans.__('Connected since'),
      props.node.Connection === 'CONNECTED' ? moment(connection?.ConnectedSince) : ''
    ],
    [trans.__('Sources'), list(info.ComputeNodeInfo?.StorageSources)],
    [trans.__('Publishers'), list(info.ComputeNodeInfo?.Publishers)]
  ];
  const labels = Object.entries(info.Labels ?? {}).sort();
  return (
    <details className="jp-Bacalhau-more">
      <summary>{trans.__('Labels, version and more')}</summary>
      <FactList facts={facts} />
      <ul className="jp-Bacalhau-labels" aria-label={trans.__('Labels')}>
        {labels.map(([key, value]) => (
          <li key={key}>{readable(value ? `${key}=${value}` : key)}</li>
        ))}
      </ul>
    </details>
  );
}

function NodeActions(props: { node: INodeState; own: string }): JSX.Element | null {
  const app = useBacalhau();
  const { trans } = app;
  const labels = { approve: trans.__('Approve…'), reject: trans.__('Reject…'), delete: trans.__('Delete…') };
  const offered = actions(props.node, props.own);
  if (offered.length === 0) {
    return null;
  }
  return (
    <div className="jp-Bacalhau-buttons">
      {offered.map(action => (
        <button
          key={action}
          type="button"
          className="jp-Bacalhau-button"
          onClick={() => void change(app, props.node, action)}
        >
          {labels[action]}
        </button>
      ))}
    </div>
  );
}
