import * as React from 'react';
import { IExecution } from '../api/types';
import { EmptyNote, ErrorNote } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { duration, shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { useNow } from './Badge';
import {
  endOfExecution,
  executionState,
  exitOf,
  hasEnded,
  messageOf,
  newestFirst,
  runtimeOf,
  tookMs
} from './facts';
import { Ports } from './Ports';
import { useSettled } from './Timeline';
import { readable, readableLines } from '../format/text';

/** The attempts to run a version of the job, newest first. */
export function Executions(props: { entry: IJobEntry; version: number }): JSX.Element {
  const { api, trans } = useBacalhau();
  const { entry, version } = props;
  const key = useSettled(`${entry.id} ${version} ${entry.changed} ${entry.state}`, 200);
  const { value, error } = useAsync(signal => api.jobs.executions(entry.id, signal, version), key);
  if (value === undefined) {
    return error ? <ErrorNote error={error} /> : <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  if (value.length === 0) {
    return <EmptyNote>{trans.__('No node runs this job yet.')}</EmptyNote>;
  }
  return (
    <ul className="jp-Bacalhau-executions" aria-label={trans.__('Executions')}>
      {newestFirst(value).map(execution => (
        <Execution key={execution.ID} execution={execution} hasParts={(entry.job.Count ?? 1) > 1} />
      ))}
    </ul>
  );
}

function Execution(props: { execution: IExecution; hasParts: boolean }): JSX.Element {
  const { trans } = useBacalhau();
  const { execution, hasParts } = props;
  const { sign, label, failed } = endOfExecution(execution, trans);
  const code = exitOf(execution);
  const message = messageOf(execution);
  const runtime = runtimeOf(execution);
  const now = useNow(hasEnded(execution) ? 0 : 1000);
  return (
    <li>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={execution.ID}>
          {hasParts
            ? trans.__('part %1 · %2', execution.PartitionIndex ?? 0, shortId(execution.ID))
            : shortId(execution.ID)}
        </span>
        <span className="jp-Bacalhau-duration">{duration(tookMs(execution, now))}</span>
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        <span
          className="jp-Bacalhau-badge"
          data-outcome={failed ? 'failed' : undefined}
          title={executionState(execution)}
        >
          <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
            {sign}
          </span>
          {label}
        </span>
        {execution.NodeID && (
          <span className="jp-Bacalhau-node" title={readable(execution.NodeID)}>
            {trans.__('on %1', shortId(execution.NodeID))}
          </span>
        )}
        {runtime && <span className="jp-Bacalhau-asked">{readable(runtime)}</span>}
        {code === 0 && <span>{trans.__('exit code %1', code)}</span>}
      </div>
      {!hasEnded(execution) && <Ports ports={execution.Ports ?? []} />}
      {message && <p className="jp-Bacalhau-message">{readableLines(message)}</p>}
    </li>
  );
}
