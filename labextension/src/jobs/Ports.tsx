import * as React from 'react';
import { IPort } from '../api/types';
import { useAsync, useBacalhau, useObservable } from '../components/context';
import { readable } from '../format/text';
import { IJobEntry } from '../store/state';
import { hasEnded } from './facts';
import { asksForPorts, portLink, portText } from './ports';

/** The ports of an execution that runs, as links where a browser may open them. */
export function Ports(props: { ports: readonly IPort[] }): JSX.Element | null {
  const { sync, trans } = useBacalhau();
  const health = useObservable(sync.health);
  const node = health.kind === 'ok' ? (health.status.cluster?.url ?? '') : '';
  if (props.ports.length === 0) {
    return null;
  }
  return (
    <div
      className="jp-Bacalhau-job-line jp-Bacalhau-job-second jp-Bacalhau-ports"
      aria-label={trans.__('Ports')}
      role="group"
    >
      {props.ports.map((port, index) => {
        const link = portLink(port, node, window.location.hostname);
        const text = readable(portText(port));
        return link ? (
          <a key={index} href={link} target="_blank" rel="noopener noreferrer" title={text}>
            {text}
          </a>
        ) : (
          <span key={index}>{text}</span>
        );
      })}
    </div>
  );
}

/** The ports of a job while it runs. */
export function JobPorts(props: { entry: IJobEntry | undefined; visible: boolean }): JSX.Element | null {
  const { entry, visible } = props;
  const runs = entry !== undefined && visible && entry.state === 'Running' && asksForPorts(entry.job);
  return runs ? <RunningPorts entry={entry} /> : null;
}

function RunningPorts({ entry }: { entry: IJobEntry }): JSX.Element {
  const { api } = useBacalhau();
  const version = entry.job.Version ?? 0;
  const key = `${entry.id} ${version} ${entry.changed}`;
  const { value } = useAsync(signal => api.jobs.executions(entry.id, signal, version), key);
  return (
    <>
      {(value ?? [])
        .filter(execution => !hasEnded(execution))
        .map(execution => (
          <Ports key={execution.ID} ports={execution.Ports ?? []} />
        ))}
    </>
  );
}
