import * as React from 'react';
import { NoteButton } from './basics';
import { useBacalhau, useObservable } from './context';
import { explain } from './health';
import { LoginNote } from './LoginNote';

/** What is wrong between the page, the server half and the cluster, and what to do; nothing when all is well. */
export function HealthNote(): JSX.Element | null {
  const { sync, trans } = useBacalhau();
  const health = useObservable(sync.health);
  const lines = explain(health, trans);
  if (lines === null) {
    return null;
  }
  const note = (
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
  return health.kind === 'down' && health.status.refused ? (
    <>
      {note}
      <LoginNote />
    </>
  ) : (
    note
  );
}
