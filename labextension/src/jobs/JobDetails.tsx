import { closeIcon, codeIcon, launchIcon, notebookIcon, redoIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { asApiError } from '../api/errors';
import {
  Duration,
  ErrorNote,
  IconButton,
  ISubTab,
  StateBadge,
  stateLabel,
  TabBar
} from '../components/basics';
import { useAsync, useBacalhau, useStore } from '../components/context';
import { shortId } from '../format/units';
import { LogView } from '../logs/LogView';
import { DetailsPart } from '../tokens';
import { canRerun, canStop, code, hasResults, rerun, stop, title } from './actions';
import { Executions } from './Executions';
import { originOf } from '../menus/origin';
import { ResultsView } from '../results/ResultsView';
import { SpecView } from './SpecView';
import { Timeline } from './Timeline';
import { readable, readableLines } from '../format/text';

/** Everything about one job. Stands in the panel and, without `onClose`, in a place of its own. */
export function JobDetails(props: { job: string; part: DetailsPart; onClose?: () => void }): JSX.Element {
  const { job: id, onClose } = props;
  const app = useBacalhau();
  const { trans, api, store } = app;
  const entry = useStore(state => state.jobs.get(id));
  const [part, setPart] = React.useState<DetailsPart>(props.part);
  React.useEffect(() => setPart(props.part), [props.part]);
  const { error } = useAsync(async signal => {
    try {
      store.dispatch({ type: 'jobs', jobs: [await api.jobs.get(id, signal)] });
    } catch (reason) {
      if (asApiError(reason).status === 404) {
        store.dispatch({ type: 'gone', jobs: [id] });
      }
      throw reason;
    }
  }, id);
  const root = React.useRef<HTMLDivElement>(null);
  // Before anybody can press a key: later it would take the focus from where it has gone since.
  React.useLayoutEffect(() => root.current?.focus(), []);
  if (entry === undefined) {
    return (
      <div className="jp-Bacalhau-fill" ref={root} tabIndex={-1}>
        {onClose && <IconButton icon={closeIcon} label={trans.__('Back to the list')} onClick={onClose} />}
        {error ? <ErrorNote error={error} /> : <div className="jp-Bacalhau-note">{trans.__('Loading…')}</div>}
      </div>
    );
  }
  const parts: ISubTab<DetailsPart>[] = [
    { id: 'timeline', label: trans.__('Timeline') },
    { id: 'executions', label: trans.__('Executions') },
    { id: 'logs', label: trans.__('Logs') },
    { id: 'spec', label: trans.__('Spec') },
    ...(hasResults(entry) ? [{ id: 'results' as const, label: trans.__('Results') }] : [])
  ];
  const current = parts.some(known => known.id === part) ? part : 'timeline';
  const origin = originOf(entry.job);
  const base = `jp-bacalhau-details${onClose ? '' : '-main'}`;
  return (
    <section
      className="jp-Bacalhau-fill jp-Bacalhau-details"
      aria-label={trans.__('Job %1', title(entry))}
      ref={root}
      tabIndex={-1}
      onKeyDown={event => {
        if (event.key === 'Escape' && onClose) {
          event.stopPropagation();
          onClose();
        }
      }}
    >
      <header className="jp-Bacalhau-details-head">
        <div className="jp-Bacalhau-job-line">
          <span className="jp-Bacalhau-job-name" title={entry.id}>
            {title(entry)}
          </span>
          {canStop(entry) && (
            <IconButton icon={stopIcon} label={trans.__('Stop')} onClick={() => void stop(app, id)} />
          )}
          {canRerun(entry) && (
            <IconButton icon={redoIcon} label={trans.__('Run again')} onClick={() => void rerun(app, id)} />
          )}
          {origin && app.host.jumpTo && (
            <IconButton
              icon={notebookIcon}
              label={trans.__('Show the cell that submitted it')}
              onClick={() => app.host.jumpTo?.(origin)}
            />
          )}
          {app.host.insertCode && (
            <IconButton
              icon={codeIcon}
              label={trans.__('Insert code')}
              onClick={() => app.host.insertCode?.(code(id))}
            />
          )}
          {onClose && app.host.openJob && (
            <IconButton
              icon={launchIcon}
              label={trans.__('Open in a tab of its own')}
              onClick={() => app.host.openJob?.(id)}
            />
          )}
          {onClose && <IconButton icon={closeIcon} label={trans.__('Back to the list')} onClick={onClose} />}
        </div>
        <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
          <StateBadge state={entry.state} label={stateLabel(trans, entry.state)} />
          <Duration entry={entry} />
          {entry.node && <span className="jp-Bacalhau-node">{shortId(entry.node)}</span>}
          {entry.phase && <span className="jp-Bacalhau-phase">{readable(entry.phase)}</span>}
        </div>
        {entry.job.State?.Message && (
          <p className="jp-Bacalhau-message">{readableLines(entry.job.State.Message)}</p>
        )}
      </header>
      <TabBar
        tabs={parts}
        current={current}
        onSelect={setPart}
        label={trans.__('Parts of the job')}
        idBase={base}
      />
      <div
        className="jp-Bacalhau-fill"
        id={`${base}-panel`}
        role="tabpanel"
        aria-labelledby={`${base}-tab-${current}`}
      >
        {current === 'timeline' && <Timeline entry={entry} />}
        {current === 'executions' && <Executions entry={entry} />}
        {current === 'logs' && <LogView key={`${id} ${entry.job.Version ?? 0}`} job={id} />}
        {current === 'spec' && <SpecView job={entry.job} />}
        {current === 'results' && <ResultsView entry={entry} />}
      </div>
    </section>
  );
}
