import * as React from 'react';
import { TranslationBundle } from '@jupyterlab/translation';
import { ErrorNote } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { duration, shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { inOrder, IPhase, phasesOf, sinceFirst, timeOf } from './phases';
import { actorOf, saidOf } from './said';
import { readable, readableLines } from '../format/text';

/** What happened to a version of the job, in order, each with the time since the submission. */
export function Timeline(props: { entry: IJobEntry; version: number }): JSX.Element {
  const { api, sync, trans } = useBacalhau();
  const { entry, version } = props;
  // Which of several executions failed only they themselves say.
  const lacks = version === 0 && entry.outcome === 'failed' && entry.executions === null;
  React.useEffect(() => {
    if (lacks) {
      sync.wantExecutions(entry.id);
    }
  }, [lacks, entry.id, sync]);
  // Each event changes the entry; reading at most a few times a second is enough.
  const key = useSettled(`${entry.id} ${version} ${entry.changed} ${entry.state}`, 200);
  const { value, error } = useAsync(signal => api.jobs.history(entry.id, signal, version), key);
  if (value === undefined) {
    return error ? (
      <ErrorNote error={error} />
    ) : (
      <div className="jp-Bacalhau-note">{trans.__('Loading…')}</div>
    );
  }
  const items = inOrder(value);
  const phases = phasesOf(items);
  return (
    <div className="jp-Bacalhau-scroll">
      {phases.length > 0 && (
        <ul className="jp-Bacalhau-phases" aria-label={trans.__('Phases')}>
          {phases.map(({ kind, ms }) => (
            <li key={kind} data-kind={kind}>
              {`${phaseLabel(kind, trans)} ${duration(ms)}`}
            </li>
          ))}
        </ul>
      )}
      <ol className="jp-Bacalhau-timeline" aria-label={trans.__('Events')}>
        {items.map((item, index) => {
          const details = item.Event?.Details ?? {};
          const { text, official, failed } = saidOf(item, entry, trans);
          const actor = actorOf(item, items);
          return (
            <li key={item.SeqNum ?? index} data-kind={failed ? 'error' : undefined}>
              <time dateTime={item.Time} title={new Date(timeOf(item)).toLocaleString()}>
                +{duration(sinceFirst(items, item))}
              </time>
              <div>
                <span className="jp-Bacalhau-topic">{readable(item.Event?.Topic ?? '')}</span>
                {item.ExecutionID && (
                  <span className="jp-Bacalhau-node" title={readable(item.ExecutionID)}>
                    {shortId(item.ExecutionID)}
                  </span>
                )}
                {actor && <span className="jp-Bacalhau-node">{trans.__('by %1', readable(actor))}</span>}
                <p title={official ? readable(official) : undefined}>{readableLines(text)}</p>
                {details.Hint && <p className="jp-Bacalhau-hint">{readableLines(details.Hint)}</p>}
              </div>
            </li>
          );
        })}
      </ol>
    </div>
  );
}

function phaseLabel(kind: IPhase['kind'], trans: TranslationBundle): string {
  switch (kind) {
    case 'waiting':
      return trans.__('waited');
    case 'inputs':
      return trans.__('fetched inputs');
    case 'starting':
      return trans.__('started');
    case 'running':
      return trans.__('ran');
    case 'publishing':
      return trans.__('published');
  }
}

/** Follow a value, but not more often than every `ms` milliseconds. */
export function useSettled<T>(value: T, ms: number): T {
  const [settled, setSettled] = React.useState(value);
  const latest = React.useRef(value);
  const timer = React.useRef<number | null>(null);
  latest.current = value;
  React.useEffect(() => {
    timer.current ??= window.setTimeout(() => {
      timer.current = null;
      setSettled(latest.current);
    }, ms);
  }, [value, ms]);
  React.useEffect(
    () => () => {
      if (timer.current !== null) {
        window.clearTimeout(timer.current);
        timer.current = null;
      }
    },
    []
  );
  return settled;
}
