import * as React from 'react';
import { Health } from '../api/handshake';
import { NoteButton } from './basics';
import { useBacalhau, useObservable } from './context';

/** What is wrong between the page, the server half and the cluster, and what to do; nothing when all is well. */
export function HealthNote(): JSX.Element | null {
  const { sync, trans } = useBacalhau();
  const health = useObservable(sync.health);
  const lines = explain(health, trans);
  if (lines === null) {
    return null;
  }
  return (
    <div className="jp-Bacalhau-note" role="alert" data-kind={health.kind}>
      <p>{lines.what}</p>
      {lines.hint && <p className="jp-Bacalhau-hint">{lines.hint}</p>}
      <NoteButton label={trans.__('Try again')} onClick={() => void sync.refresh()} />
      {(health.kind === 'mismatch' || (health.kind === 'failed' && health.error.kind === 'auth')) && (
        // An expired login ends at the login page, and what is not saved is asked about first.
        <NoteButton label={trans.__('Reload the page')} onClick={() => window.location.reload()} />
      )}
    </div>
  );
}

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** Put the health into words. */
export function explain(health: Health, trans: ITranslate): { what: string; hint: string } | null {
  switch (health.kind) {
    case 'unknown':
    case 'ok':
      return null;
    case 'missing':
      return {
        what: trans.__('The server half of Bacalhau is missing in this Jupyter server.'),
        hint: trans.__(
          'Run "pip install bacalhau-jupyter[server]" in the environment of the Jupyter server, see that "jupyter server extension list" shows bacalhau_jupyter as enabled, and restart the server.'
        )
      };
    case 'mismatch':
      return {
        what: trans.__(
          'This page comes from bacalhau-jupyter %1, the Jupyter server runs %2.',
          health.mine,
          health.status.version || trans.__('an older version')
        ),
        hint: trans.__('Restart the Jupyter server and reload this page, so that both are the same.')
      };
    case 'down':
      return {
        what: health.status.problem || trans.__('The cluster does not answer.'),
        hint: health.status.refused
          ? trans.__('Give this connection another token: the Cluster tab, Edit.')
          : health.status.cluster
            ? trans.__('Connected to %1.', health.status.cluster.url)
            : ''
      };
    case 'failed':
      return {
        what:
          health.error.kind === 'auth'
            ? trans.__('Jupyter does not let this user see Bacalhau: %1', health.error.message)
            : trans.__('The Jupyter server can’t be asked: %1', health.error.message),
        hint: health.error.kind === 'auth' ? trans.__('Log in again, or ask whoever runs the server.') : ''
      };
  }
}
