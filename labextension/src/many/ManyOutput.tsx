import { listIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau, useObservable, useStore } from '../components/context';
import { outcomeLabel } from '../format/outcomes';
import { readable, readableLines } from '../format/text';
import { duration, shortId } from '../format/units';
import { canStop, show } from '../jobs/actions';
import { stopAll } from '../jobs/bulk';
import { useVisible } from '../components/visible';
import { reasonOf } from './reason';
import { GroupLookup, lookUpGroup } from './ask';
import { IManyRecord } from './record';
import { countsText, IManyRow, isDone, isOpen, rowsOf } from './rows';

interface IProps {
  readonly record: IManyRecord;
  /** Whether the cell runs in this page: then it is clear to the person what Stop stops. */
  readonly followedHere: boolean;
}

/** Rows that a card shows one by one; the panel has the others. */
const MOST_ROWS = 500;

/** A cell's output: the jobs of a sweep or a map, live where they can be asked for, else as they were stored. */
export function ManyOutput({ record, followedHere }: IProps): JSX.Element {
  const app = useBacalhau();
  const { trans } = app;
  const root = React.useRef<HTMLDivElement>(null);
  const visible = useVisible(root);
  const lookup = useGroup(record, visible);
  const jobs = useStore(state => state.jobs);
  const rows = React.useMemo(() => rowsOf(record.members, jobs), [record, jobs]);
  const ids = React.useMemo(() => record.members.map(member => member.job).filter(Boolean), [record]);
  const stoppable = ids.filter(id => canStop(jobs.get(id)));
  const [stopping, setStopping] = React.useState(false);
  const asked = React.useRef(new Set<string>());
  // The cell may have been submitting still: what it submitted meanwhile is meant, too.
  const late = stopping ? stoppable.filter(id => !asked.current.has(id)) : [];
  React.useEffect(() => {
    if (late.length > 0) {
      late.forEach(id => asked.current.add(id));
      void stopAll(app, late, false);
    }
  });
  const onStop = async (): Promise<void> => {
    if (await stopAll(app, stoppable, !followedHere)) {
      stoppable.forEach(id => asked.current.add(id));
      setStopping(true);
    }
  };
  return (
    <div ref={root} className="jp-Bacalhau-output" role="group" aria-label={trans.__('Jobs of this cell')}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name">
          {record.phase ? readable(record.phase) : countsText(rows, trans)}
        </span>
        <span className="jp-Bacalhau-output-actions">
          {stoppable.length > 0 && (
            <IconButton
              icon={stopIcon}
              label={trans.__('Stop all that still run')}
              onClick={() => void onStop()}
            />
          )}
        </span>
      </div>
      <Reason record={record} lookup={lookup} />
      {!record.phase && <Table rows={rows} />}
    </div>
  );
}

function Table(props: { rows: readonly IManyRow[] }): JSX.Element {
  const { trans } = useBacalhau();
  const shown = props.rows.slice(0, MOST_ROWS);
  const more = props.rows.length - shown.length;
  return (
    <div className="jp-Bacalhau-many">
      <table>
        <thead>
          <tr>
            <th scope="col">{trans.__('Job')}</th>
            <th scope="col">{trans.__('Outcome')}</th>
            <th scope="col">{trans.__('Time')}</th>
            <th scope="col">{trans.__('Details')}</th>
          </tr>
        </thead>
        <tbody>
          {shown.map((row, index) => (
            <Row key={index} row={row} />
          ))}
        </tbody>
      </table>
      {more > 0 && (
        <div className="jp-Bacalhau-hint">{trans.__('and %1 more: the panel has them', more)}</div>
      )}
    </div>
  );
}

function Row({ row }: { row: IManyRow }): JSX.Element {
  const app = useBacalhau();
  const { trans, host } = app;
  const open = (part: 'timeline' | 'logs'): void => {
    show(app, row.job, part);
    host.openPanel?.();
  };
  const label = readable(row.label);
  const words = row.exitCode ? trans.__('exit %1', row.exitCode) : outcomeLabel(row.outcome, trans);
  return (
    <tr>
      <td>{label}</td>
      <td>
        <span className="jp-Bacalhau-badge" data-outcome={row.outcome}>
          {words}
        </span>
      </td>
      <td>{row.durationMs === null ? '' : duration(row.durationMs)}</td>
      <td>
        {row.isKnown && host.openPanel ? (
          <>
            <button
              type="button"
              className="jp-Bacalhau-fold"
              title={trans.__('Show in the panel')}
              aria-label={trans.__('Show %1 in the panel', label)}
              onClick={() => open('timeline')}
            >
              {shortId(row.job)}
            </button>{' '}
            <IconButton icon={listIcon} label={trans.__('Logs of %1', label)} onClick={() => open('logs')} />
          </>
        ) : (
          shortId(row.job)
        )}
        {isDone(row) && row.error && <span className="jp-Bacalhau-message">{readableLines(row.error)}</span>}
      </td>
    </tr>
  );
}

function Reason(props: { record: IManyRecord; lookup: GroupLookup }): JSX.Element | null {
  const { trans } = useBacalhau();
  const text = reasonOf(props.record, props.lookup, trans);
  return text ? (
    <div className="jp-Bacalhau-hint" role="status">
      {text}
    </div>
  ) : null;
}

/** Ask for the group when it is seen, and again when the connection changed; listen while jobs are under way. */
function useGroup(record: IManyRecord, visible: boolean): GroupLookup {
  const { api, store, sync } = useBacalhau();
  const [lookup, setLookup] = React.useState<GroupLookup>({ kind: 'asking' });
  const jobs = useStore(state => state.jobs);
  const health = useObservable(sync.health);
  const cluster = health.kind === 'ok' ? `ok ${health.status.cluster?.url ?? ''}` : health.kind;
  const generation = useObservable(sync.generation);
  const members = record.members.filter(member => member.job);
  const unknown = members.some(member => !jobs.has(member.job));
  const key = `${cluster} ${generation} ${members.length}`;
  const askedAt = React.useRef('');
  const asks = visible && record.group !== '' && members.length > 0 && unknown && askedAt.current !== key;
  const latest = React.useRef(record);
  latest.current = record;
  React.useEffect(() => {
    if (!asks) {
      return undefined;
    }
    let gone = false;
    void lookUpGroup(latest.current, api).then(answer => {
      if (gone) {
        return;
      }
      askedAt.current = key;
      if (answer.kind === 'found') {
        store.dispatch({ type: 'jobs', jobs: answer.jobs });
        store.flush();
      }
      setLookup(answer);
    });
    return () => {
      gone = true;
    };
  }, [api, store, asks, key]);
  const goesOn = members.some(member => {
    const entry = jobs.get(member.job);
    return entry === undefined ? isOpen([member]) && lookup.kind !== 'gone' : canStop(entry);
  });
  React.useEffect(() => (visible && goesOn ? sync.acquire('active') : undefined), [sync, visible, goesOn]);
  return lookup;
}
