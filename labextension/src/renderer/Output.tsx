import { listIcon, fileIcon, launchIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { isOver } from '../api/types';
import { Duration, IconButton, StateBadge, stateLabel } from '../components/basics';
import { useBacalhau, useObservable, useStore } from '../components/context';
import { duration, shortId } from '../format/units';
import { canStop, hasResults, show, stop, title } from '../jobs/actions';
import { LogView } from '../logs/LogView';
import { ResultsView } from '../results/ResultsView';
import { exitCode, IJobEntry } from '../store/state';
import { IRecord } from './record';
import { Lookup, lookUp } from './lookup';
import { useVisible } from './visible';
import { readable, readableLines } from '../format/text';

/** A cell's output: the job of a record, live where it can be asked for, else as it was stored. */
export function Output(props: { record: IRecord }): JSX.Element {
  const { record } = props;
  const app = useBacalhau();
  const { trans } = app;
  const root = React.useRef<HTMLDivElement>(null);
  const visible = useVisible(root);
  const found = useLookup(record, visible);
  const known = useStore(state => state.jobs.get(record.job));
  const entry = found.kind === 'found' ? known : undefined;
  const [open, setOpen] = React.useState<'logs' | 'results' | ''>('');
  const toggle = (part: 'logs' | 'results'): void => setOpen(open === part ? '' : part);
  const message = entry?.state === 'Completed' ? '' : record.error || entry?.job.State?.Message || '';
  return (
    <div
      ref={root}
      className="jp-Bacalhau-output"
      role="group"
      aria-label={trans.__('Job %1', readable(record.job))}
    >
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={readable(record.job)}>
          {entry ? title(entry) : shortId(record.job)}
        </span>
        <span className="jp-Bacalhau-output-actions">
          {entry && (
            <IconButton
              icon={listIcon}
              label={trans.__('Logs')}
              pressed={open === 'logs'}
              onClick={() => toggle('logs')}
            />
          )}
          {hasResults(entry) && (
            <IconButton
              icon={fileIcon}
              label={trans.__('Results')}
              pressed={open === 'results'}
              onClick={() => toggle('results')}
            />
          )}
          {canStop(entry) && (
            <IconButton icon={stopIcon} label={trans.__('Stop')} onClick={() => void stop(app, record.job)} />
          )}
          {entry && app.host.openPanel && (
            <IconButton
              icon={launchIcon}
              label={trans.__('Show in the panel')}
              onClick={() => {
                show(app, record.job);
                app.host.openPanel?.();
              }}
            />
          )}
        </span>
      </div>
      <Facts record={record} entry={entry} />
      {message && <p className="jp-Bacalhau-message">{readableLines(message)}</p>}
      <Explanation record={record} found={found} />
      {open === 'logs' && entry && (
        <div className="jp-Bacalhau-output-part" data-part="logs">
          <LogView key={entry.job.Version ?? 0} job={record.job} />
        </div>
      )}
      {open === 'results' && entry && (
        <div className="jp-Bacalhau-output-part">
          <ResultsView entry={entry} compact />
        </div>
      )}
    </div>
  );
}

/** State, time, node, runtime, exit code. */
function Facts(props: { record: IRecord; entry: IJobEntry | undefined }): JSX.Element {
  const { record, entry } = props;
  const { trans } = useBacalhau();
  const state = entry?.state ?? record.state;
  const phase = isOver(state) ? '' : entry?.phase || record.phase;
  const node = entry?.node || record.node;
  const code = entry?.executions ? exitCode(entry) : (record.exitCode ?? 0);
  return (
    <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
      <StateBadge state={state} label={stateLabel(trans, state)} />
      {entry ? (
        <Duration entry={entry} />
      ) : (
        record.durationMs !== null && (
          <span className="jp-Bacalhau-duration">{duration(record.durationMs)}</span>
        )
      )}
      {phase && phase !== 'running' && <span className="jp-Bacalhau-phase">{readable(phase)}</span>}
      {node && (
        <span className="jp-Bacalhau-node" title={readable(node)}>
          {shortId(node)}
        </span>
      )}
      {record.runtime && <span className="jp-Bacalhau-asked">{readable(record.runtime)}</span>}
      {code !== 0 && <span className="jp-Bacalhau-exit">{trans.__('exit code %1', code)}</span>}
    </div>
  );
}

/** Why this is not the live state; nothing when it is. */
function Explanation(props: { record: IRecord; found: Lookup }): JSX.Element | null {
  const { record, found } = props;
  const { trans } = useBacalhau();
  const lines: string[] = [];
  switch (found.kind) {
    case 'missing':
      lines.push(
        trans.__('Shown as it was stored: the server half of Bacalhau is missing in this Jupyter server.')
      );
      break;
    case 'elsewhere':
      lines.push(
        found.cluster
          ? trans.__(
              'Shown as it was stored: the job ran on %1, Jupyter is connected to %2.',
              record.endpoint,
              found.cluster
            )
          : trans.__(
              'Shown as it was stored: the job ran on %1, Jupyter is connected to no cluster.',
              record.endpoint
            )
      );
      break;
    case 'gone':
      lines.push(trans.__('Shown as it was stored: the cluster does not know this job any longer.'));
      break;
    case 'failed':
      lines.push(trans.__('Shown as it was stored: %1.', found.error.message.replace(/\.$/, '')));
      break;
  }
  if (record.newer) {
    lines.push(trans.__('A newer release of bacalhau-jupyter wrote this; some of it may be missing here.'));
  }
  return lines.length === 0 ? null : (
    <div className="jp-Bacalhau-hint" role="status">
      {lines.map((line, index) => (
        <div key={index}>{line}</div>
      ))}
    </div>
  );
}

/** Ask for the job when it is seen, and again when the connection changed; listen while it is under way and seen. */
function useLookup(record: IRecord, visible: boolean): Lookup {
  const { api, store, sync } = useBacalhau();
  const [found, setFound] = React.useState<Lookup>({ kind: 'asking' });
  const entry = useStore(whole => whole.jobs.get(record.job));
  const health = useObservable(sync.health);
  const cluster = health.kind === 'ok' ? `ok ${health.status.cluster?.url ?? ''}` : health.kind;
  const askedAt = React.useRef('');
  const latest = React.useRef(record);
  latest.current = record;
  // What was found stays found until the store forgets it, which it does when the cluster becomes another one.
  const settled = found.kind === 'found' ? entry !== undefined : askedAt.current === cluster;
  const asks = visible && !settled;
  React.useEffect(() => {
    if (!asks) {
      return undefined;
    }
    let gone = false;
    const ask = { job: (id: string) => api.jobs.get(id), status: () => api.agent.status() };
    void lookUp(latest.current, ask).then(answer => {
      if (gone) {
        return;
      }
      askedAt.current = cluster;
      if (answer.kind === 'found') {
        store.dispatch({ type: 'jobs', jobs: [answer.job] });
        store.flush();
      }
      setFound(answer);
    });
    return () => {
      gone = true;
    };
  }, [api, store, asks, cluster, record.job]);
  const live = found.kind === 'found' ? !isOver(entry?.state) : found.kind === 'failed';
  React.useEffect(() => (visible && live ? sync.acquire('active') : undefined), [sync, visible, live]);
  // The job itself says neither node nor exit code.
  const lacks = entry !== undefined && entry.executions === null && (!entry.node || isOver(entry.state));
  React.useEffect(() => {
    if (visible && lacks) {
      sync.wantExecutions(record.job);
    }
  }, [sync, visible, lacks, record.job]);
  return found;
}
