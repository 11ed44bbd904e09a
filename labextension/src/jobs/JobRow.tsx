import { listIcon, redoIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { isOver } from '../api/types';
import { Duration, IconButton, StateBadge, stateLabel } from '../components/basics';
import { useBacalhau, useStore } from '../components/context';
import { shortId } from '../format/units';
import { exitCode } from '../store/state';
import { canRerun, canStop, rerun, show, stop, title } from './actions';

/** One job in the list, in two lines. */
export const JobRow = React.memo(function JobRow(props: { id: string }): JSX.Element | null {
  const app = useBacalhau();
  const { trans, sync } = app;
  const entry = useStore(state => state.jobs.get(props.id));
  // The list says neither node nor exit code.
  const lacks =
    entry !== undefined && entry.executions === null && (entry.node === '' || isOver(entry.state));
  React.useEffect(() => {
    if (lacks) {
      // Whoever only scrolls by asks for nothing.
      const timer = window.setTimeout(() => sync.wantExecutions(props.id), 200);
      return () => window.clearTimeout(timer);
    }
    return undefined;
  }, [lacks, props.id, sync]);
  if (entry === undefined) {
    return null;
  }
  const code = exitCode(entry);
  const task = entry.job.Tasks?.[0];
  const { CPU: cpu, Memory: memory, GPU: gpu } = task?.Resources ?? {};
  const asked = [cpu && `${cpu} CPU`, memory, gpu && gpu !== '0' && `${gpu} GPU`].filter(Boolean).join(' · ');
  return (
    <div className="jp-Bacalhau-job" title={entry.job.State?.Message || entry.id}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name">{title(entry)}</span>
        <span className="jp-Bacalhau-job-actions">
          <IconButton
            icon={listIcon}
            label={trans.__('Logs')}
            tabIndex={-1}
            onClick={() => show(app, entry.id, 'logs')}
          />
          {canStop(entry) && (
            <IconButton
              icon={stopIcon}
              label={trans.__('Stop')}
              tabIndex={-1}
              onClick={() => void stop(app, entry.id)}
            />
          )}
          {canRerun(entry) && (
            <IconButton
              icon={redoIcon}
              label={trans.__('Run again')}
              tabIndex={-1}
              onClick={() => void rerun(app, entry.id)}
            />
          )}
        </span>
        <Duration entry={entry} />
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        <StateBadge state={entry.state} label={stateLabel(trans, entry.state)} />
        {entry.phase && entry.phase !== 'running' && <span className="jp-Bacalhau-phase">{entry.phase}</span>}
        {entry.node && <span className="jp-Bacalhau-node">{shortId(entry.node)}</span>}
        {code !== 0 && <span className="jp-Bacalhau-exit">{trans.__('exit code %1', code)}</span>}
        {asked && <span className="jp-Bacalhau-asked">{asked}</span>}
      </div>
    </div>
  );
});
