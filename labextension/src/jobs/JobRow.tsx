import { codeIcon, folderIcon, LabIcon, listIcon, redoIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau, useStore } from '../components/context';
import { atWork } from '../format/place';
import { readable, readableLines } from '../format/text';
import { reasonIn } from '../store/outcome';
import { IJobEntry } from '../store/state';
import { canRerun, canStop, code, hasResults, show, stop, title } from './actions';
import { Age, OutcomeBadge, RunTime } from './Badge';
import { rerun } from './bulk';
import { asked, lacksFacts } from './facts';
import { summaryOf, useExplanation } from './reason';
import { rerunOf } from './title';

/** One job in the list, in two lines. Its buttons are there while it is `lively`: active, or under the pointer. */
export const JobRow = React.memo(function JobRow(props: {
  id: string;
  lively: boolean;
  inside: boolean;
}): JSX.Element | null {
  const app = useBacalhau();
  const { trans, sync } = app;
  const entry = useStore(state => state.jobs.get(props.id));
  const lacks = entry !== undefined && lacksFacts(entry);
  React.useEffect(() => {
    if (lacks) {
      // Whoever only scrolls by asks for nothing.
      const timer = window.setTimeout(() => sync.wantExecutions(props.id), 200);
      return () => window.clearTimeout(timer);
    }
    return undefined;
  }, [lacks, props.id, sync]);
  const reason = summaryOf(useExplanation(entry, props.lively));
  if (entry === undefined) {
    return null;
  }
  const resources = asked(entry.job);
  const first = rerunOf(entry.job);
  const phase = reason || (entry.phase === 'running' ? '' : atWork(entry.node, readable(entry.phase), trans));
  const said = entry.outcome === 'failed' ? (entry.job.State?.Message ?? '') : '';
  const message = entry.error || reasonIn(said);
  return (
    <div
      className={`jp-Bacalhau-job ${props.inside ? 'jp-mod-inside' : ''}`}
      title={reason || readableLines(entry.job.State?.Message || entry.id)}
    >
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={title(entry)}>
          {first && (
            <span className="jp-Bacalhau-again" title={trans.__('Runs %1 again', readable(first))}>
              {'↻ '}
            </span>
          )}
          {title(entry)}
        </span>
        {props.lively && <Actions entry={entry} />}
        <Age entry={entry} />
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        <OutcomeBadge entry={entry} />
        {message && (
          <span className="jp-Bacalhau-error" title={readableLines(entry.error || said)}>
            {readable(message.split('\n')[0] ?? '')}
          </span>
        )}
        {phase && (
          <span className="jp-Bacalhau-phase" title={phase}>
            {phase}
          </span>
        )}
        {resources && !message && !reason && (
          <span className="jp-Bacalhau-asked" title={readable(resources)}>
            {readable(resources)}
          </span>
        )}
        {/* The age beside the name says as much. */}
        {!reason && <RunTime entry={entry} />}
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
