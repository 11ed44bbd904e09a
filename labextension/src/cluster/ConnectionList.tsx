import * as React from 'react';
import { IConnection } from '../api/connections';
import { ErrorNote } from '../components/basics';
import { useBacalhau, useObservable } from '../components/context';
import { ConnectionForm } from './ConnectionForm';
import { Connections } from './connections';
import { readable } from '../format/text';

/** The saved connections: switch, add, change, remove. */
export function ConnectionList(props: { connections: Connections }): JSX.Element {
  const { connections } = props;
  const { trans } = useBacalhau();
  const saved = useObservable(connections.list);
  const problem = useObservable(connections.problem);
  const form = useObservable(connections.form);
  const add = React.useRef<HTMLButtonElement>(null);
  const wasOpen = React.useRef(false);
  React.useEffect(() => {
    // Who closes the form goes on where it was opened.
    if (wasOpen.current && form === null) {
      add.current?.focus();
    }
    wasOpen.current = form !== null;
  }, [form]);
  if (saved === null) {
    return problem ? (
      <ErrorNote error={problem} retry={() => void connections.read()} retryLabel={trans.__('Try again')} />
    ) : (
      <p className="jp-Bacalhau-hint">{trans.__('Loading…')}</p>
    );
  }
  const local: IConnection = { name: '', description: trans.__('the node of the Jupyter server’s machine') };
  return (
    <>
      {saved.fixed_by && (
        <p role="note">
          {trans.__(
            'The cluster is chosen by %1 in the environment of the Jupyter server. To switch here, unset it and start Jupyter again.',
            saved.fixed_by
          )}
        </p>
      )}
      <ul className="jp-Bacalhau-cards" aria-label={trans.__('Saved connections')}>
        {[local, ...saved.connections].map(connection => (
          <Item
            key={connection.name}
            connection={connection}
            isUsed={!saved.fixed_by && connection.name === saved.current}
            canSwitch={!saved.fixed_by}
            connections={connections}
          />
        ))}
      </ul>
      {form === null ? (
        <div className="jp-Bacalhau-buttons">
          <button
            ref={add}
            type="button"
            className="jp-Bacalhau-button"
            onClick={() => connections.form.set({ editing: null })}
          >
            {trans.__('Add a connection')}
          </button>
        </div>
      ) : (
        <ConnectionForm key={form.editing?.name ?? ''} editing={form.editing} connections={connections} />
      )}
    </>
  );
}

function Item(props: {
  connection: IConnection;
  isUsed: boolean;
  canSwitch: boolean;
  connections: Connections;
}): JSX.Element {
  const { connection, isUsed, canSwitch, connections } = props;
  const { trans } = useBacalhau();
  const switching = useObservable(connections.switching);
  const { name, endpoint, problem } = connection;
  const title = readable(name) || trans.__('This machine');
  const button = (label: string, name: string, onClick: () => void): JSX.Element => (
    <button type="button" className="jp-Bacalhau-button" aria-label={name} onClick={onClick}>
      {label}
    </button>
  );
  return (
    <li className="jp-Bacalhau-card" aria-label={title} aria-current={isUsed || undefined}>
      <div className="jp-Bacalhau-job-line">
        <span className="jp-Bacalhau-job-name" title={title}>
          {title}
        </span>
        {isUsed && (
          <span className="jp-Bacalhau-aside">
            {switching ? trans.__('switching…') : trans.__('✓ in use')}
          </span>
        )}
      </div>
      {endpoint && (
        <div className="jp-Bacalhau-place" title={endpoint}>
          {endpoint}
        </div>
      )}
      {connection.description && <div className="jp-Bacalhau-hint">{connection.description}</div>}
      {connection.insecure && (
        <div className="jp-Bacalhau-aside jp-mod-warn">{trans.__('its certificate is not checked')}</div>
      )}
      {problem && <p className="jp-Bacalhau-message">{problem}</p>}
      <div className="jp-Bacalhau-buttons">
        {canSwitch &&
          !isUsed &&
          !problem &&
          !switching &&
          button(trans.__('Use'), trans.__('Use %1', title), () => void connections.use(name))}
        {name &&
          button(trans.__('Edit'), trans.__('Edit %1', title), () =>
            connections.form.set({ editing: connection })
          )}
        {name &&
          !isUsed &&
          button(trans.__('Remove'), trans.__('Remove %1', title), () => void connections.remove(name))}
      </div>
    </li>
  );
}
