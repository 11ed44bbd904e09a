import {
  closeIcon,
  codeIcon,
  deleteIcon,
  launchIcon,
  notebookIcon,
  redoIcon,
  stopIcon
} from '@jupyterlab/ui-components';
import * as React from 'react';
import { asApiError } from '../api/errors';
import { IJob } from '../api/types';
import { ErrorNote, IconButton, ISubTab, TabBar } from '../components/basics';
import { useAsync, useBacalhau, useFeature, useStore } from '../components/context';
import { shortId } from '../format/units';
import { LogView } from '../logs/LogView';
import { entryOf } from '../store/state';
import { DetailsPart } from '../tokens';
import { canRerun, canStop, code, hasResults, show, stop, title } from './actions';
import { Age, OutcomeBadge, RunTime } from './Badge';
import { DELETE_JOBS, removeAll, rerun } from './bulk';
import { CodeView } from './CodeView';
import { Executions } from './Executions';
import { findOrigin } from '../menus/origin';
import { ResultsView } from '../results/ResultsView';
import { SpecView } from './SpecView';
import { Timeline } from './Timeline';
import { useExplanation } from './reason';
import { rerunOf } from './title';
import { VersionSwitch } from './Versions';
import { WaitingView } from './WaitingView';
import { atWork } from '../format/place';
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
  // An earlier version, as it was left; the newest one is the entry itself.
  const [earlier, setEarlier] = React.useState<IJob | null>(null);
  const canDelete = useFeature(DELETE_JOBS);
  const { value: origin } = useAsync(
    () =>
      entry && app.host.jumpTo
        ? findOrigin(entry.job, job => api.submissions.ofJob(job))
        : Promise.resolve(null),
    entry ? id : ''
  );
  const explanation = useExplanation(entry, earlier === null);
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
  const version = earlier?.Version ?? 0;
  const shown = earlier ? entryOf(earlier) : entry;
  const first = rerunOf(entry.job);
  const message = shown.error || shown.job.State?.Message;
  const parts: ISubTab<DetailsPart>[] = [
    { id: 'timeline', label: trans.__('Timeline') },
    { id: 'executions', label: trans.__('Executions') },
    { id: 'logs', label: trans.__('Logs') },
    ...(hasResults(shown) ? [{ id: 'results' as const, label: trans.__('Results') }] : []),
    { id: 'code', label: trans.__('Code') },
    { id: 'spec', label: trans.__('Spec') }
  ];
  const current = parts.some(known => known.id === part) ? part : 'timeline';
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
          <span className="jp-Bacalhau-job-name" title={`${title(entry)}\n${entry.id}`}>
            {title(entry)}
          </span>
          <span className="jp-Bacalhau-job-actions">
            {canStop(entry) && (
              <IconButton icon={stopIcon} label={trans.__('Stop')} onClick={() => void stop(app, id)} />
            )}
            {canRerun(entry) && (
              <IconButton icon={redoIcon} label={trans.__('Run again')} onClick={() => void rerun(app, id)} />
            )}
            {canDelete && canRerun(entry) && (
              <IconButton
                icon={deleteIcon}
                label={trans.__('Delete')}
                onClick={() => void removeAll(app, [id])}
              />
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
            {onClose && (
              <IconButton icon={closeIcon} label={trans.__('Back to the list')} onClick={onClose} />
            )}
          </span>
        </div>
        <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
          <OutcomeBadge entry={shown} />
          <RunTime entry={shown} />
          <Age entry={shown} />
          {shown.node && atWork(shown.node, shown.phase, trans) === shown.phase && (
            <span className="jp-Bacalhau-node" title={readable(shown.node)}>
              {shortId(shown.node)}
            </span>
          )}
          {shown.phase && (
            <span className="jp-Bacalhau-phase">{atWork(shown.node, readable(shown.phase), trans)}</span>
          )}
          <VersionSwitch entry={entry} version={version} onChange={(_, job) => setEarlier(job)} />
        </div>
        {explanation ? (
          <WaitingView explanation={explanation} />
        ) : (
          message && <p className="jp-Bacalhau-message">{readableLines(message)}</p>
        )}
        {first && (
          <p className="jp-Bacalhau-hint">
            {trans.__('Runs again:')}{' '}
            <button type="button" className="jp-Bacalhau-link" onClick={() => show(app, first)}>
              {shortId(first)}
            </button>
          </p>
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
        {current === 'timeline' && <Timeline entry={shown} version={version} />}
        {current === 'executions' && <Executions entry={shown} version={version} />}
        {current === 'logs' && <LogView key={`${id} ${shown.job.Version ?? 0}`} job={id} version={version} />}
        {current === 'code' && <CodeView job={shown.job} />}
        {current === 'spec' && <SpecView job={shown.job} />}
        {current === 'results' && <ResultsView entry={shown} version={version} />}
      </div>
    </section>
  );
}
