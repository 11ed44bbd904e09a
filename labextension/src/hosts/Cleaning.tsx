import * as React from 'react';
import { IHostCleaning, IHostRecord, IHostRemains } from '../api/hosts';
import { ErrorNote } from '../components/basics';
import { useBacalhau } from '../components/context';
import { readable } from '../format/text';
import { shortId } from '../format/units';
import { ITranslate, moment } from '../nodes/nodes';

/** Whose it is and how much: `ann@laptop: 3 containers (1 runs), 2 volumes, last 14:03`. */
export function remainsLine(remains: IHostRemains, trans: ITranslate): string {
  const { Containers: containers = 0, Running: running = 0, Volumes: volumes = 0 } = remains;
  const owner = readable(remains.Owner ?? '');
  const node = shortId(remains.NodeID ?? '') || '?';
  const last = moment(remains.Last);
  const what = [
    containers > 0 ? trans.__('containers: %1', containers) : '',
    running > 0 ? trans.__('running: %1', running) : '',
    volumes > 0 ? trans.__('volumes: %1', volumes) : '',
    last ? trans.__('the last of %1', last) : ''
  ].filter(Boolean);
  return `${owner ? `${owner} (${node})` : node} · ${what.join(' · ')}`;
}

/** What nodes left on a host: all of it is listed, and what a person chooses is removed. */
export function Cleaning(props: { host: IHostRecord; close: () => void }): JSX.Element {
  const { host, close } = props;
  const app = useBacalhau();
  const { trans, api } = app;
  const [found, setFound] = React.useState<IHostCleaning | null>(null);
  const [chosen, setChosen] = React.useState<ReadonlySet<string>>(new Set());
  const [busy, setBusy] = React.useState(true);
  const [error, setError] = React.useState<unknown>(null);
  const root = React.useRef<HTMLDivElement>(null);
  const { Name: name } = host;
  React.useEffect(() => {
    const controller = new AbortController();
    root.current?.focus();
    api.hosts.clean(name, [], false, controller.signal).then(
      answer => {
        if (!controller.signal.aborted) {
          setFound(answer);
          setBusy(false);
        }
      },
      (reason: unknown) => {
        if (!controller.signal.aborted) {
          setError(reason);
          setBusy(false);
        }
      }
    );
    return () => controller.abort();
  }, [api, name]);
  const others = (found?.Items ?? []).filter(item => !item.IsOwn && item.NodeID);
  const clean = async (): Promise<void> => {
    const running = others
      .filter(item => chosen.has(item.NodeID ?? ''))
      .reduce((sum, item) => sum + (item.Running ?? 0), 0);
    const title = trans.__('Remove what these nodes left on %1?', readable(name));
    const text =
      running > 0
        ? trans.__('It can’t be brought back. Containers that run are stopped: %1.', running)
        : trans.__('It can’t be brought back.');
    if (!(await app.host.confirm(title, text, trans.__('Remove')))) {
      return;
    }
    setBusy(true);
    setError(null);
    try {
      setFound(await api.hosts.clean(name, [...chosen], running > 0));
      setChosen(new Set());
    } catch (reason) {
      setError(reason);
    }
    setBusy(false);
  };
  const toggle = (node: string): void => {
    const next = new Set(chosen);
    setChosen(next.delete(node) ? next : next.add(node));
  };
  return (
    <div
      ref={root}
      className="jp-Bacalhau-note"
      role="group"
      tabIndex={-1}
      aria-label={trans.__('What nodes left on %1', readable(name))}
      onKeyDown={event => {
        if (event.key === 'Escape') {
          event.stopPropagation();
          close();
        }
      }}
    >
      <div role="status">
        {busy && <p>{trans.__('Looking there…')}</p>}
        {(found?.Removed ?? []).length > 0 && (
          <p>{trans.__('Removed: %1', (found?.Removed ?? []).map(node => shortId(node)).join(', '))}</p>
        )}
        {!busy && found !== null && others.length === 0 && (
          <p>{trans.__('No other node has left anything there.')}</p>
        )}
      </div>
      {error !== null && <ErrorNote error={error} />}
      {others.length > 0 && (
        <p className="jp-Bacalhau-hint">
          {trans.__('Choose only nodes that are gone: a node that lives still needs what it has there.')}
        </p>
      )}
      <ul className="jp-Bacalhau-lines">
        {others.map(item => (
          <li key={item.NodeID}>
            <label className="jp-Bacalhau-check">
              <input
                type="checkbox"
                checked={chosen.has(item.NodeID ?? '')}
                disabled={busy}
                onChange={() => toggle(item.NodeID ?? '')}
              />
              {remainsLine(item, trans)}
            </label>
          </li>
        ))}
      </ul>
      <div className="jp-Bacalhau-buttons">
        {others.length > 0 && (
          <button
            type="button"
            className="jp-Bacalhau-button"
            disabled={busy || chosen.size === 0}
            onClick={() => void clean()}
          >
            {trans.__('Remove what is chosen…')}
          </button>
        )}
        <button type="button" className="jp-Bacalhau-button" onClick={close}>
          {trans.__('Close')}
        </button>
      </div>
    </div>
  );
}
