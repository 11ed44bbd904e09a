import * as React from 'react';
import { ErrorNote } from '../components/basics';
import { useAsync, useBacalhau } from '../components/context';
import { duration, shortId } from '../format/units';
import { IJobEntry } from '../store/state';
import { readable, readableLines } from '../format/text';

/** What happened to the job, in order, each with the time since the submission. */
export function Timeline(props: { entry: IJobEntry }): JSX.Element {
  const { api, trans } = useBacalhau();
  const { entry } = props;
  // Each event changes the entry; reading at most a few times a second is enough.
  const key = useSettled(`${entry.id} ${entry.changed} ${entry.state}`, 200);
  const { value, error } = useAsync(signal => api.jobs.history(entry.id, signal), key);
  if (value === undefined) {
    return error ? (
      <ErrorNote error={error} />
    ) : (
      <div className="jp-Bacalhau-note">{trans.__('Loading…')}</div>
    );
  }
  const start = Date.parse(value[0]?.Time ?? '');
  return (
    <ol className="jp-Bacalhau-timeline" aria-label={trans.__('Events')}>
      {value.map((item, index) => {
        const time = Date.parse(item.Time ?? '');
        const details = item.Event?.Details ?? {};
        const failed = details.IsError === 'true';
        return (
          <li key={item.SeqNum ?? index} data-kind={failed ? 'error' : undefined}>
            <time dateTime={item.Time} title={item.Time}>
              +{duration(Math.max(0, time - start))}
            </time>
            <div>
              <span className="jp-Bacalhau-topic">{readable(item.Event?.Topic ?? '')}</span>
              {item.ExecutionID && <span className="jp-Bacalhau-node">{shortId(item.ExecutionID)}</span>}
              <p>{readableLines(item.Event?.Message ?? '')}</p>
              {details.Hint && <p className="jp-Bacalhau-hint">{readableLines(details.Hint)}</p>}
            </div>
          </li>
        );
      })}
    </ol>
  );
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
