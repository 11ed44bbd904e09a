import { closeIcon, deleteIcon, redoIcon, stopIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau, useFeature, useObservable, useStore } from '../components/context';
import { canRerun, canStop } from './actions';
import { DELETE_JOBS, removeAll, rerunAll, stopAll } from './bulk';

/** What can be done with the picked jobs; nothing while none is. */
export function BulkBar(): JSX.Element | null {
  const app = useBacalhau();
  const { trans } = app;
  const picks = useObservable(app.picks);
  const jobs = useStore(state => state.jobs);
  const canDelete = useFeature(DELETE_JOBS);
  if (picks.size === 0) {
    return null;
  }
  const ids = [...picks].filter(id => jobs.has(id));
  const entries = ids.map(id => jobs.get(id));
  return (
    <div className="jp-Bacalhau-bulk" role="toolbar" aria-label={trans.__('Picked jobs')}>
      <span role="status">{trans.__('%1 picked', ids.length)}</span>
      {entries.some(canStop) && (
        <IconButton
          icon={stopIcon}
          label={trans.__('Stop the picked jobs')}
          onClick={() => void stopAll(app, ids)}
        />
      )}
      {entries.some(canRerun) && (
        <IconButton
          icon={redoIcon}
          label={trans.__('Run the picked jobs again')}
          onClick={() => void rerunAll(app, ids)}
        />
      )}
      {canDelete && entries.some(canRerun) && (
        <IconButton
          icon={deleteIcon}
          label={trans.__('Delete the picked jobs')}
          onClick={() => void removeAll(app, ids)}
        />
      )}
      <IconButton
        icon={closeIcon}
        label={trans.__('Pick none')}
        onClick={() => app.picks.set(new Set<string>())}
      />
    </div>
  );
}
