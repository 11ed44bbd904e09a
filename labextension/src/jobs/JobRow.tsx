import { codeIcon, folderIcon, LabIcon, listIcon, redoIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { isOver } from '../api/types';
import { Duration, IconButton, StateBadge, stateLabel } from '../components/basics';
import { useBacalhau, useStore } from '../components/context';
import { shortId } from '../format/units';
import { exitCode, IJobEntry } from '../store/state';
import { canRerun, canStop, code, hasResults, rerun, show, stop, title } from './actions';
import { readable, readableLines } from '../format/text';

/** One job in the list, in two lines. Its buttons are there while it is `lively`: active, or under the pointer. */
export const JobRow = React.memo(function JobRow(props: { id: string; lively: boolean }): JSX.Element | null {
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
  const ended = exitCode(entry);
  const task = entry.job.Tasks?.[0];
  const { CPU: cpu, Memory: memory, GPU: gpu } = task?.Resources ?? {};
  const asked = [cpu && `${cpu} CPU`, memory, gpu && gpu !== '0' && `${gpu} GPU`].filter(Boolean).join(' · ');
  return (
    <div className="jp-Bacalhau-job" title={readableLines(entry.job.State?.Message || entry.id)}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name">{title(entry)}</span>
        {props.lively && <Actions entry={entry} />}
        <Duration entry={entry} />
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        <StateBadge state={entry.state} label={stateLabel(trans, entry.state)} />
        {entry.phase && entry.phase !== 'running' && (
          <span className="jp-Bacalhau-phase">{readable(entry.phase)}</span>
        )}
        {entry.node && <span className="jp-Bacalhau-node">{shortId(entry.node)}</span>}
        {ended !== 0 && <span className="jp-Bacalhau-exit">{trans.__('exit code %1', ended)}</span>}
        {asked && <span className="jp-Bacalhau-asked">{readable(asked)}</span>}
      </div>
    </div>
  );
});

function Actions(props: { entry: IJobEntry }): JSX.Element {
  const app = useBacalhau();
  const { trans, host } = app;
  const { entry } = props;
  const action = (icon: LabIcon, label: string, onClick: () => void): JSX.Element => (
    // Not tab stops: the grid has keys for them, and the details have the same buttons.
    <IconButton icon={icon} label={label} tabIndex={-1} onClick={onClick} />
  );
  return (
    <span className="jp-Bacalhau-job-actions">
      {action(listIcon, trans.__('Logs'), () => show(app, entry.id, 'logs'))}
      {hasResults(entry) && action(folderIcon, trans.__('Results'), () => show(app, entry.id, 'results'))}
      {host.insertCode && action(codeIcon, trans.__('Insert code'), () => host.insertCode?.(code(entry.id)))}
      {canStop(entry) && action(stopIcon, trans.__('Stop'), () => void stop(app, entry.id))}
      {canRerun(entry) && action(redoIcon, trans.__('Run again'), () => void rerun(app, entry.id))}
    </span>
  );
}
