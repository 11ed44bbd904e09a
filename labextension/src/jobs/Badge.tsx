import * as React from 'react';
import { useBacalhau } from '../components/context';
import { badgeOf, officialTitle } from '../format/outcomes';
import { age, duration } from '../format/units';
import { isOver } from '../api/types';
import { IJobEntry } from '../store/state';
import { times } from './facts';

/** How a job stands, in a word and a sign; the official word, where it is another one, is in the tooltip. */
export function OutcomeBadge(props: { entry: IJobEntry }): JSX.Element {
  const { trans } = useBacalhau();
  const { entry } = props;
  const { sign, label, official } = badgeOf(entry, trans);
  return (
    <span
      className="jp-Bacalhau-badge"
      data-state={entry.state}
      data-outcome={entry.outcome}
      title={officialTitle(label, official, trans)}
    >
      <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
        {sign}
      </span>
      {label}
    </span>
  );
}

/** How long a job ran, or runs; while it waits, how long it has waited. Only a job under way ticks. */
export function RunTime(props: { entry: IJobEntry }): JSX.Element | null {
  const { trans } = useBacalhau();
  const { entry } = props;
  const now = useNow(isOver(entry.state) ? 0 : 1000);
  const { ran, waited } = times(entry, now);
  if (ran === null && waited < 1000 && isOver(entry.state)) {
    // It was refused at once: it neither ran nor waited.
    return null;
  }
  const queue = trans.__('waited %1 before it ran', duration(waited));
  return (
    <span className="jp-Bacalhau-duration" title={ran !== null && waited >= 1000 ? queue : undefined}>
      {ran === null ? trans.__('waited %1', duration(waited)) : duration(ran)}
    </span>
  );
}

/** How long ago a job was submitted. */
export function Age(props: { entry: IJobEntry }): JSX.Element {
  const { trans } = useBacalhau();
  const { created } = props.entry;
  // A fresh age counts seconds; later ones change by the minute at most.
  const [isFresh, setFresh] = React.useState(true);
  const now = useNow(isFresh ? 1000 : 30_000);
  React.useEffect(() => setFresh(now - created < 60_000), [now, created]);
  return (
    <time
      className="jp-Bacalhau-age"
      dateTime={new Date(created).toISOString()}
      title={new Date(created).toLocaleString()}
    >
      {trans.__('%1 ago', age(now - created))}
    </time>
  );
}

/** The time, every so many milliseconds; 0 stands still. */
export function useNow(ms: number): number {
  const [now, setNow] = React.useState(() => Date.now());
  React.useEffect(() => {
    if (ms === 0) {
      return undefined;
    }
    const timer = window.setInterval(() => setNow(Date.now()), ms);
    return () => window.clearInterval(timer);
  }, [ms]);
  return now;
}
