import * as React from 'react';
import { ErrorNote } from '../components/basics';
import { useBacalhau, useObservable } from '../components/context';
import { readableLines } from '../format/text';
import { Observable } from '../store/signal';
import { HostCard } from './HostCard';
import { HostForm } from './HostForm';
import { matchesHost, sortedHosts } from './hosts';
import { IHostsView } from './use';

/** The Docker hosts of the connected node, and a form that adds one. */
export function HostsSection(props: {
  view: IHostsView;
  filter: string;
  /** Whether the form is open. */
  form: Observable<boolean>;
}): JSX.Element | null {
  const { view, filter, form } = props;
  const { hosts, problem, read } = view;
  const { trans } = useBacalhau();
  const adding = useObservable(form);
  const button = React.useRef<HTMLButtonElement>(null);
  const wasOpen = React.useRef(false);
  React.useEffect(() => {
    // Who closes the form goes on where it was opened.
    if (wasOpen.current && !adding) {
      button.current?.focus();
    }
    wasOpen.current = adding;
  }, [adding]);
  const changed = React.useCallback(() => void read(), [read]);
  const shown = React.useMemo(
    () => sortedHosts(hosts).filter(host => matchesHost(host, filter)),
    [hosts, filter]
  );
  if (!view.offered || (hosts === null && problem === null)) {
    return null;
  }
  return (
    <section className="jp-Bacalhau-hosts" aria-label={trans.__('Docker hosts')}>
      <div className="jp-Bacalhau-hosts-head">
        <h3>{trans.__('Docker hosts')}</h3>
        {!adding && hosts !== null && (
          <button ref={button} type="button" className="jp-Bacalhau-button" onClick={() => form.set(true)}>
            {trans.__('Add host…')}
          </button>
        )}
      </div>
      {problem && <ErrorNote error={problem} retry={changed} retryLabel={trans.__('Try again')} />}
      {(hosts?.Problems ?? []).map((text, at) => (
        <p key={at} className="jp-Bacalhau-note" role="alert">
          {readableLines(text)}
        </p>
      ))}
      {adding && (
        <HostForm
          hosts={hosts}
          close={() => form.set(false)}
          added={() => {
            form.set(false);
            changed();
          }}
        />
      )}
      {!adding && hosts !== null && (hosts.Items ?? []).length === 0 && (
        <p className="jp-Bacalhau-hint">
          {trans.__(
            'A Docker host is another machine with Docker that runs your jobs: a GPU server that you reach by ssh, for instance. Nothing is installed there.'
          )}
        </p>
      )}
      {shown.length > 0 && (
        <ul className="jp-Bacalhau-cards" aria-label={trans.__('Docker hosts')}>
          {shown.map(host => (
            <HostCard key={host.Name} host={host} changed={changed} />
          ))}
        </ul>
      )}
    </section>
  );
}
