import * as React from 'react';
import { ErrorNote, NoteButton, EmptyNote } from '../components/basics';
import { useBacalhau, useObservable, useStore } from '../components/context';
import { HealthNote } from '../components/HealthNote';
import { VirtualList } from '../components/VirtualList';
import { IBacalhau } from '../tokens';
import { show } from './actions';
import { BulkBar } from './BulkBar';
import { removeAll, stopAll } from './bulk';
import { IFilter, namespaces, notebooks, visible } from './filter';
import { FilterBar } from './FilterBar';
import { GroupRow } from './GroupRow';
import { JobRow } from './JobRow';
import { idsOf, ListRow, picked, rowKey, rowsOf } from './rows';

const ROW_HEIGHT = 46;

/** The list of jobs, with its filter, and what can be done with those that are picked. */
export function JobList(): JSX.Element {
  const app = useBacalhau();
  const { trans, store, selected, details } = app;
  const filter = useObservable(app.filter);
  const state = useStore(whole => whole);
  // Not deferred: on a busy page each change of the store would put that off once more, and nothing be narrowed.
  const ids = React.useMemo(() => visible(state, filter), [state, filter]);
  const { rows, toggle } = useRows(ids);
  const active = useObservable(selected);
  const picks = useObservable(app.picks);
  const root = React.useRef<HTMLDivElement>(null);
  const anchor = React.useRef(-1);
  const shown = useObservable(details);
  useFocusBack(root, shown !== null);
  const index = React.useMemo(() => rows.findIndex(row => rowKey(row) === active), [rows, active]);
  const renderRow = React.useCallback(
    (at: number, lively: boolean) => {
      const row = rows[at];
      return row?.kind === 'group' ? (
        <GroupRow row={row} />
      ) : (
        <JobRow id={row?.id ?? ''} lively={lively} inside={row?.inside ?? false} />
      );
    },
    [rows]
  );
  const names = React.useMemo(
    () => ({ namespaces: namespaces(store.snapshot()), notebooks: notebooks(store.snapshot()) }),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [state.order, store]
  );
  const pick = (at: number, how: 'toggle' | 'range'): void => {
    app.picks.set(picked(rows, picks, how === 'range' ? anchor.current : at, at, how));
    anchor.current = how === 'range' ? anchor.current : at;
  };
  const open = (at: number): void => {
    const row = rows[at];
    if (row?.kind === 'group') {
      toggle(row.key);
    } else if (row) {
      show(app, row.id);
    }
  };
  return (
    <div className="jp-Bacalhau-fill" ref={root}>
      <FilterBar
        filter={filter}
        onChange={(changed: IFilter) => app.filter.set(changed)}
        {...names}
        shown={ids.length}
        total={state.order.length}
      />
      <BulkBar />
      <HealthNote />
      <Notes total={state.order.length} shown={ids.length} />
      <VirtualList
        role="grid"
        className="jp-Bacalhau-jobs"
        label={trans.__('Jobs, newest first')}
        count={rows.length}
        rowHeight={ROW_HEIGHT}
        rowKey={at => rowKey(rows[at]) || at}
        rowId={at => `jp-bacalhau-row-${rowKey(rows[at]) || at}`}
        active={index}
        isPicked={at => isPicked(rows[at], picks)}
        isExpanded={at => {
          const row = rows[at];
          return row?.kind === 'group' ? row.open : undefined;
        }}
        onActive={(at, extend) => {
          if (extend) {
            anchor.current = anchor.current < 0 ? index : anchor.current;
            pick(at, 'range');
          } else {
            anchor.current = at;
          }
          selected.set(rowKey(rows[at]));
        }}
        onPress={(at, how) => {
          selected.set(rowKey(rows[at]));
          if (how === 'open') {
            anchor.current = at;
            app.picks.set(NONE);
            open(at);
          } else {
            anchor.current = anchor.current < 0 ? index : anchor.current;
            pick(at, how);
          }
        }}
        onMenu={at => {
          selected.set(rowKey(rows[at]));
          if (!isPicked(rows[at], picks)) {
            // The menu of a heading is for all its jobs, that of a job for this one.
            app.picks.set(rows[at]?.kind === 'group' ? new Set(idsOf(rows[at])) : NONE);
          }
        }}
        onOpen={open}
        onKey={(event, at) => onKey(event, app, { rows, at, toggle, pick })}
        renderRow={renderRow}
      />
    </div>
  );
}

const NONE: ReadonlySet<string> = new Set();

function isPicked(row: ListRow | undefined, picks: ReadonlySet<string>): boolean {
  return row !== undefined && picks.size > 0 && idsOf(row).every(id => picks.has(id));
}

function onKey(
  event: React.KeyboardEvent,
  app: IBacalhau,
  list: {
    rows: readonly ListRow[];
    at: number;
    toggle: (key: string, open?: boolean) => void;
    pick: (at: number, how: 'toggle') => void;
  }
): void {
  const { rows, at } = list;
  const row = rows[at];
  const picks = app.picks.get();
  const meant = picks.size > 0 ? [...picks] : idsOf(row);
  if (event.key === ' ') {
    list.pick(at, 'toggle');
  } else if (event.key === 'a' && (event.ctrlKey || event.metaKey)) {
    app.picks.set(new Set(rows.flatMap(idsOf)));
  } else if (event.key === 'Escape' && picks.size > 0) {
    app.picks.set(NONE);
  } else if (event.key === 'Delete') {
    // What runs is stopped, what is over is deleted; each asks first.
    const runs = meant.some(id => app.store.snapshot().jobs.get(id)?.outcome === 'running');
    void (runs ? stopAll(app, meant) : removeAll(app, meant));
  } else if (row?.kind === 'group' && (event.key === 'ArrowRight' || event.key === 'ArrowLeft')) {
    list.toggle(row.key, event.key === 'ArrowRight');
  } else {
    return;
  }
  event.preventDefault();
  event.stopPropagation();
}

/** The lines of the list, and a way to open and close its headings. */
function useRows(ids: readonly string[]): {
  rows: readonly ListRow[];
  toggle: (key: string, open?: boolean) => void;
} {
  const { store } = useBacalhau();
  const [open, setOpen] = React.useState<ReadonlySet<string>>(NONE);
  const toggle = React.useCallback(
    (key: string, opens?: boolean) =>
      setOpen(before => {
        const after = new Set(before);
        if (opens ?? !after.has(key)) {
          after.add(key);
        } else {
          after.delete(key);
        }
        return after;
      }),
    []
  );
  // What a job belongs to never changes, so the state itself does not matter.
  const rows = React.useMemo(() => rowsOf(ids, store.snapshot().jobs, open), [ids, open, store]);
  return { rows, toggle };
}

/** Whoever comes back from the details goes on in the list. */
function useFocusBack(root: React.RefObject<HTMLElement>, covered: boolean): void {
  const was = React.useRef(false);
  React.useEffect(() => {
    if (was.current && !covered) {
      root.current?.querySelector<HTMLElement>('[role=grid]')?.focus();
    }
    was.current = covered;
  }, [covered, root]);
}

/** What is wrong with the list, or why it is empty and what to do about that. */
function Notes(props: { total: number; shown: number }): JSX.Element {
  const app = useBacalhau();
  const { trans, sync } = app;
  const ready = useObservable(sync.ready);
  const problem = useObservable(sync.problem);
  const health = useObservable(sync.health);
  const healthy = health.kind === 'ok' || health.kind === 'unknown' || health.kind === 'mismatch';
  return (
    <>
      {problem && healthy && (
        <ErrorNote error={problem} retry={() => void sync.refresh()} retryLabel={trans.__('Try again')}>
          {problem.kind === 'auth' && app.tabs.all.get().some(tab => tab.id === 'cluster') && (
            <NoteButton label={trans.__('Connections…')} onClick={() => app.tab.set('cluster')} />
          )}
        </ErrorNote>
      )}
      {ready && !problem && healthy && props.total === 0 && <FirstSteps />}
      {ready && props.shown === 0 && props.total > 0 && (
        <EmptyNote>{trans.__('No job matches the filter.')}</EmptyNote>
      )}
    </>
  );
}

/** What a first job looks like, and a button that puts it into a notebook. */
export const FIRST_CELL = '%%bacalhau sh\necho "hello from $(hostname)"';

function FirstSteps(): JSX.Element {
  const { trans, host } = useBacalhau();
  return (
    <EmptyNote>
      <p>{trans.__('No jobs yet. A cell that begins with %1 runs as a job:', '%%bacalhau')}</p>
      <pre className="jp-Bacalhau-sample">{FIRST_CELL}</pre>
      {host.insertCode && (
        <NoteButton label={trans.__('Try it')} onClick={() => host.insertCode?.(FIRST_CELL, true)} />
      )}
    </EmptyNote>
  );
}
