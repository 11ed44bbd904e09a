import * as React from 'react';
import { EXECUTION_STATES, IExecution } from '../api/types';
import { EmptyNote, ErrorNote } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { duration, shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { useSettled } from './Timeline';
import { readableLines } from '../format/text';

/** The attempts to run the job, newest first. */
export function Executions(props: { entry: IJobEntry }): JSX.Element {
  const { api, trans } = useBacalhau();
  const { entry } = props;
  const key = useSettled(`${entry.id} ${entry.changed} ${entry.state}`, 200);
  const { value, error } = useAsync(signal => api.jobs.executions(entry.id, signal), key);
  if (value === undefined) {
    return error ? <ErrorNote error={error} /> : <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  if (value.length === 0) {
    return <EmptyNote>{trans.__('No node runs this job yet.')}</EmptyNote>;
  }
  return (
    <ul className="jp-Bacalhau-executions" aria-label={trans.__('Executions')}>
      {[...value]
        .sort((a, b) => (b.CreateTime ?? 0) - (a.CreateTime ?? 0))
        .map(execution => (
          <Execution key={execution.ID} execution={execution} />
        ))}
    </ul>
  );
}

function Execution(props: { execution: IExecution }): JSX.Element {
  const { trans } = useBacalhau();
  const { execution } = props;
  const state = EXECUTION_STATES[execution.ComputeState?.StateType ?? 0] ?? 'Undefined';
  const took = ((execution.ModifyTime ?? 0) - (execution.CreateTime ?? 0)) / 1e6;
  const code = execution.RunOutput?.ExitCode;
  return (
    <li>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={execution.ID}>
          {shortId(execution.ID)}
        </span>
        <span className="jp-Bacalhau-duration">{duration(Math.max(0, took))}</span>
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        <span className="jp-Bacalhau-badge" data-state={state}>
          {state}
        </span>
        {execution.NodeID && <span className="jp-Bacalhau-node">{shortId(execution.NodeID)}</span>}
        {code !== undefined && execution.RunOutput && (state === 'Completed' || code !== 0) && (
          <span>{trans.__('exit code %1', code)}</span>
        )}
      </div>
      {execution.ComputeState?.Message && (
        <p className="jp-Bacalhau-message">{readableLines(execution.ComputeState.Message)}</p>
      )}
    </li>
  );
}
