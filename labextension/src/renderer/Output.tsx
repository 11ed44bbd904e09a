import { listIcon, fileIcon, launchIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { isOver } from '../api/types';
import { IconButton, StateBadge } from '../components/basics';
import { useBacalhau, useObservable, useStore } from '../components/context';
import { atWork } from '../format/place';
import { officialTitle } from '../format/outcomes';
import { stateLabel } from '../format/states';
import { duration, shortId } from '../format/units';
import { RunTime } from '../jobs/Badge';
import { JobPorts } from '../jobs/Ports';
import { canStop, hasResults, show, stop, title } from '../jobs/actions';
import { summaryOf, useExplanation } from '../jobs/reason';
import { LogView } from '../logs/LogView';
import { ResultsView } from '../results/ResultsView';
import { IJobEntry } from '../store/state';
import { Parts, useParts } from './PartList';
import { IRecord } from './record';
import { hideKept } from './kept';
import { Lookup, lookUp } from './lookup';
import { factsOf, reasons, wantsLog } from './facts';
import { useVisible } from '../components/visible';
import { readable, readableLines } from '../format/text';

const MOST_LOG_HEIGHT = 260;

interface IProps {
  readonly record: IRecord;
  /** Whether the cell runs in this page, which then gets what the job prints from the kernel. */
  readonly followedHere: boolean;
}

/** A cell's output: the job of a record, live where it can be asked for, else as it was stored. */
export function Output(props: IProps): JSX.Element {
  return props.record.job ? <JobCard {...props} /> : <EarlyCard record={props.record} />;
}

/** What goes on before there is a job. */
function EarlyCard({ record }: { record: IRecord }): JSX.Element {
  const { trans } = useBacalhau();
  return (
    <div className="jp-Bacalhau-output" role="group" aria-label={trans.__('Job')}>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        {record.title && <span className="jp-Bacalhau-job-name">{readable(record.title)}</span>}
        <span className="jp-Bacalhau-phase">{readable(record.phase)}</span>
      </div>
      {record.error && <p className="jp-Bacalhau-message">{readableLines(record.error)}</p>}
    </div>
  );
}

function JobCard({ record, followedHere }: IProps): JSX.Element {
  const app = useBacalhau();
  const { trans } = app;
  const root = React.useRef<HTMLDivElement>(null);
  const visible = useVisible(root);
  const lookup = useLookup(record, visible);
  const known = useStore(state => state.jobs.get(record.job));
  const entry = lookup.kind === 'found' ? known : undefined;
  const [chosen, setChosen] = React.useState<'logs' | 'results' | '' | null>(null);
  // The log of one part; empty means all of the job.
  const [execution, setExecution] = React.useState('');
  const parts = useParts(record, entry, visible);
  const missesOutput = wantsLog(record, followedHere);
  const open = chosen ?? (missesOutput ? 'logs' : '');
  const toggle = (part: 'logs' | 'results'): void => {
    setExecution('');
    setChosen(open === part && execution === '' ? '' : part);
  };
  const reason = summaryOf(useExplanation(entry, visible));
  const { message } = factsOf(record, entry, reason);
  // A job that ran for another cell answers here: the card is this cell's, and says below whose job it was.
  const ownTitle = readable(record.title) || shortId(record.job);
  const name = entry && !record.cached ? title(entry) : ownTitle;
  // The log begins at the beginning: it takes the place of the part that the cell has.
  const replaces = missesOutput && open === 'logs' && entry !== undefined;
  React.useLayoutEffect(() => (replaces && root.current ? hideKept(root.current) : undefined), [replaces]);
  return (
    <div
      ref={root}
      className="jp-Bacalhau-output"
      role="group"
      aria-label={trans.__('Job %1', readable(record.job))}
    >
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={name}>
          {name}
        </span>
        <span className="jp-Bacalhau-output-actions">
          {entry && (
            <IconButton
              icon={listIcon}
              label={trans.__('Logs')}
              pressed={open === 'logs' && execution === ''}
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
            <IconButton
              icon={stopIcon}
              label={trans.__('Stop')}
              onClick={() => void stop(app, record.job, !followedHere)}
            />
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
      <Facts
        record={record}
        entry={entry}
        reason={reason}
        isNamed={name !== shortId(record.job)}
        hasParts={parts.length > 0}
      />
      <JobPorts entry={entry} visible={visible} />
      {record.cached && <p className="jp-Bacalhau-hint">{readable(record.cached)}</p>}
      {record.lines > 0 && entry && open !== 'logs' && (
        <button type="button" className="jp-Bacalhau-fold" onClick={() => toggle('logs')}>
          {trans.__('%1 lines, open the log', record.lines.toLocaleString('en-US'))}
        </button>
      )}
      {message && <p className="jp-Bacalhau-message">{readableLines(message)}</p>}
      <Explanation record={record} lookup={lookup} />
      {parts.length > 0 && (
        <Parts
          parts={parts}
          open={open === 'logs' ? execution : ''}
          onLog={
            entry &&
            (chosenExecution => {
              const closes = open === 'logs' && execution === chosenExecution;
              setExecution(closes ? '' : chosenExecution);
              setChosen(closes ? '' : 'logs');
            })
          }
        />
      )}
      {open === 'logs' && entry && (
        <Log
          key={`${entry.job.Version ?? 0} ${execution}`}
          job={record.job}
          execution={execution}
          visible={visible}
        />
      )}
      {open === 'results' && entry && (
        <div className="jp-Bacalhau-output-part">
          <ResultsView entry={entry} compact />
        </div>
      )}
    </div>
  );
}

/** The log of a job, as high as it needs; out of sight it keeps its height, and listens to nobody. */
function Log(props: { job: string; execution: string; visible: boolean }): JSX.Element {
  const height = React.useRef(0);
  return (
    <div className="jp-Bacalhau-output-part" data-part="logs">
      {props.visible ? (
        <LogView
          job={props.job}
          execution={props.execution}
          mostHeight={MOST_LOG_HEIGHT}
          onHeight={now => (height.current = now)}
        />
      ) : (
        <div style={{ height: height.current }} />
      )}
    </div>
  );
}

/** Outcome, time, node, runtime; the id comes last, because nobody knows a job by it. */
function Facts(props: {
  record: IRecord;
  entry: IJobEntry | undefined;
  reason: string;
  isNamed: boolean;
  hasParts: boolean;
}): JSX.Element {
  const { record, entry, reason, isNamed, hasParts } = props;
  const { trans } = useBacalhau();
  const { state, phase, node, code, exitedBadly } = factsOf(record, entry, reason);
  const doing = reason ? phase : atWork(node, phase, trans);
  return (
    <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
      {exitedBadly ? (
        <StateBadge
          state="Failed"
          label={trans.__('exit %1', code)}
          title={officialTitle(trans.__('exit %1', code), stateLabel(trans, state), trans)}
        />
      ) : (
        <StateBadge state={state} label={stateLabel(trans, state)} />
      )}
      {entry ? (
        <RunTime entry={entry} />
      ) : (
        record.durationMs !== null && (
          <span className="jp-Bacalhau-duration">{duration(record.durationMs)}</span>
        )
      )}
      {/* What one part does says nothing of the others, which stand below. */}
      {phase && !(hasParts && state === 'Running') && (
        <span className="jp-Bacalhau-phase">{readable(doing)}</span>
      )}
      {node && doing === phase && (
        <span className="jp-Bacalhau-node" title={readable(node)}>
          {shortId(node)}
        </span>
      )}
      {record.runtime && <span className="jp-Bacalhau-asked">{readable(record.runtime)}</span>}
      {code !== 0 && !exitedBadly && (
        <span className="jp-Bacalhau-exit">{trans.__('exit code %1', code)}</span>
      )}
      {isNamed && (
        <span className="jp-Bacalhau-jobId" title={readable(record.job)}>
          {shortId(record.job)}
        </span>
      )}
    </div>
  );
}

/** Why this is not the live state; nothing when it is. */
function Explanation(props: { record: IRecord; lookup: Lookup }): JSX.Element | null {
  const { record, lookup } = props;
  const { trans } = useBacalhau();
  const lines = reasons(record, lookup, trans);
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
  const [lookup, setFound] = React.useState<Lookup>({ kind: 'asking' });
  const entry = useStore(whole => whole.jobs.get(record.job));
  const health = useObservable(sync.health);
  const cluster = health.kind === 'ok' ? `ok ${health.status.cluster?.url ?? ''}` : health.kind;
  const askedAt = React.useRef('');
  const latest = React.useRef(record);
  latest.current = record;
  // What was found stays found until the store forgets it, which it does when the cluster becomes another one.
  const settled = lookup.kind === 'found' ? entry !== undefined : askedAt.current === cluster;
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
  const live = lookup.kind === 'found' ? !isOver(entry?.state) : lookup.kind === 'failed';
  React.useEffect(() => (visible && live ? sync.acquire('active') : undefined), [sync, visible, live]);
  // The kernel hears first how the job ended where the cluster pushes nothing.
  const before = React.useRef(record.state);
  const ahead = isOver(record.state) && entry !== undefined && !isOver(entry.state);
  React.useEffect(() => {
    if (before.current !== record.state && ahead) {
      sync.wantJob(record.job);
    }
    before.current = record.state;
  }, [sync, ahead, record.state, record.job]);
  // The job itself says neither node nor exit code.
  const lacks = entry !== undefined && entry.executions === null && (!entry.node || isOver(entry.state));
  React.useEffect(() => {
    if (visible && lacks) {
      sync.wantExecutions(record.job);
    }
  }, [sync, visible, lacks, record.job]);
  return lookup;
}
