import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { JobStateName } from '../api/types';
import { EmptyNote, ErrorNote, IconButton, NoteButton, stateLabel } from '../components/basics';
import { useBacalhau, useObservable, usePageVisible, useStore } from '../components/context';
import { HealthNote } from '../components/HealthNote';
import { VirtualList } from '../components/VirtualList';
import { canStop, show, stop } from './actions';
import { IFilter, namespaces, visible } from './filter';
import { JobDetails } from './JobDetails';
import { JobRow } from './JobRow';
import { readable } from '../format/text';

const STATES: readonly JobStateName[] = ['Pending', 'Queued', 'Running', 'Completed', 'Failed', 'Stopped'];
const ROW_HEIGHT = 46;

/** The list of jobs, or the details of one. */
export function JobsTab(): JSX.Element {
  const { sync, details } = useBacalhau();
  const shown = useObservable(details);
  const inFront = usePageVisible();
  React.useEffect(() => (inFront ? sync.acquire('all') : undefined), [sync, inFront]);
  // The list stays as it is behind the details: filter, place and selection are there again afterwards.
  return (
    <>
      <div className="jp-Bacalhau-fill" hidden={shown !== null}>
        <JobList />
      </div>
      {shown !== null && (
        <JobDetails key={shown.job} job={shown.job} part={shown.part} onClose={() => details.set(null)} />
      )}
    </>
  );
}

function JobList(): JSX.Element {
  const app = useBacalhau();
  const { trans, sync, store, selected, details } = app;
  const filter = useObservable(app.filter);
  const deferred = React.useDeferredValue(filter);
  const state = useStore(whole => whole);
  const ids = React.useMemo(() => visible(state, deferred), [state, deferred]);
  const active = useObservable(selected);
  const ready = useObservable(sync.ready);
  const problem = useObservable(sync.problem);
  const health = useObservable(sync.health);
  const wasDetails = React.useRef(false);
  const root = React.useRef<HTMLDivElement>(null);
  const shown = useObservable(details);
  React.useEffect(() => {
    if (wasDetails.current && shown === null) {
      root.current?.querySelector<HTMLElement>('[role=grid]')?.focus();
    }
    wasDetails.current = shown !== null;
  }, [shown]);
  const index = React.useMemo(() => ids.indexOf(active), [ids, active]);
  const renderRow = React.useCallback(
    (at: number, lively: boolean) => <JobRow id={ids[at] ?? ''} lively={lively} />,
    [ids]
  );
  const spaces = React.useMemo(
    () => namespaces(store.snapshot()),
    // eslint-disable-next-line react-hooks/exhaustive-deps
    [state.order, store]
  );
  const healthy = health.kind === 'ok' || health.kind === 'unknown' || health.kind === 'mismatch';
  return (
    <div className="jp-Bacalhau-fill" ref={root}>
      <FilterBar
        filter={filter}
        onChange={app.filter.set.bind(app.filter)}
        namespaces={spaces}
        shown={ids.length}
        total={state.order.length}
      />
      <HealthNote />
      {problem && healthy && (
        <ErrorNote error={problem} retry={() => void sync.refresh()} retryLabel={trans.__('Try again')}>
          {problem.kind === 'auth' && app.tabs.all.get().some(tab => tab.id === 'cluster') && (
            <NoteButton label={trans.__('Connections…')} onClick={() => app.tab.set('cluster')} />
          )}
        </ErrorNote>
      )}
      {ready && !problem && healthy && state.order.length === 0 && (
        <EmptyNote>{trans.__('No jobs yet. Run a cell that begins with %%bacalhau.')}</EmptyNote>
      )}
      {!ready && healthy && <EmptyNote>{trans.__('Loading…')}</EmptyNote>}
      {state.order.length > 0 && ids.length === 0 && (
        <EmptyNote>{trans.__('No job matches the filter.')}</EmptyNote>
      )}
      <VirtualList
        role="grid"
        label={trans.__('Jobs, newest first')}
        count={ids.length}
        rowHeight={ROW_HEIGHT}
        rowKey={at => ids[at] ?? at}
        rowId={at => `jp-bacalhau-row-${ids[at] ?? at}`}
        active={index}
        onActive={at => selected.set(ids[at] ?? '')}
        onOpen={at => show(app, ids[at] ?? '')}
        onKey={(event, at) => {
          const id = ids[at] ?? '';
          if (event.key === 'Delete' && canStop(store.snapshot().jobs.get(id))) {
            void stop(app, id);
          }
        }}
        renderRow={renderRow}
      />
    </div>
  );
}

function FilterBar(props: {
  filter: IFilter;
  onChange: (filter: IFilter) => void;
  namespaces: readonly string[];
  shown: number;
  total: number;
}): JSX.Element {
  const { trans, sync } = useBacalhau();
  const { filter, onChange } = props;
  return (
    <div className="jp-Bacalhau-filter" role="search">
      <input
        className="jp-mod-styled"
        type="search"
        placeholder={trans.__('Filter: text or label=value')}
        aria-label={trans.__('Filter jobs by text or label')}
        value={filter.text}
        onChange={event => onChange({ ...filter, text: event.target.value })}
      />
      <select
        aria-label={trans.__('Filter jobs by state')}
        value={filter.states[0] ?? ''}
        onChange={event =>
          onChange({ ...filter, states: event.target.value ? [event.target.value as JobStateName] : [] })
        }
      >
        <option value="">{trans.__('All states')}</option>
        {STATES.map(state => (
          <option key={state} value={state}>
            {stateLabel(trans, state)}
          </option>
        ))}
      </select>
      {(props.namespaces.length > 1 || filter.namespace) && (
        <select
          aria-label={trans.__('Filter jobs by namespace')}
          value={filter.namespace ?? ''}
          onChange={event => onChange({ ...filter, namespace: event.target.value })}
        >
          <option value="">{trans.__('All namespaces')}</option>
          {props.namespaces.map(name => (
            <option key={name} value={name}>
              {readable(name)}
            </option>
          ))}
        </select>
      )}
      <IconButton
        icon={refreshIcon}
        label={trans.__('Read the list again')}
        onClick={() => void sync.refresh()}
      />
      <span className="jp-Bacalhau-count" role="status">
        {props.shown === props.total ? props.total : `${props.shown}/${props.total}`}
      </span>
    </div>
  );
}
