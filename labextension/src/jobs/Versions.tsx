import * as React from 'react';
import { IJob } from '../api/types';
import { useAsync, useBacalhau } from '../components/context';
import { badgeOf } from '../format/outcomes';
import { entryOf, IJobEntry } from '../store/state';

/** Chooses which version of a job the details show; nothing where there is one only. 0 stands for the newest. */
export function VersionSwitch(props: {
  entry: IJobEntry;
  version: number;
  onChange: (version: number, job: IJob | null) => void;
}): JSX.Element | null {
  const { api, trans } = useBacalhau();
  const { entry, version, onChange } = props;
  const newest = entry.job.Version ?? 1;
  const { value } = useAsync(
    signal => (newest > 1 ? api.jobs.versions(entry.id, signal) : Promise.resolve([])),
    `${entry.id} ${newest} ${entry.state}`
  );
  const versions = value ?? [];
  if (newest <= 1) {
    return null;
  }
  return (
    <select
      className="jp-Bacalhau-versions"
      aria-label={trans.__('Version of the job')}
      value={version || newest}
      onChange={event => {
        const chosen = Number(event.target.value);
        const job = versions.find(known => known.Version === chosen) ?? null;
        onChange(chosen === newest ? 0 : chosen, chosen === newest ? null : job);
      }}
    >
      {versions.length === 0 && <option value={newest}>{trans.__('version %1', newest)}</option>}
      {[...versions].reverse().map(job => (
        <option key={job.Version} value={job.Version}>
          {trans.__('version %1: %2', job.Version ?? 1, badgeOf(entryOf(job), trans).label)}
        </option>
      ))}
    </select>
  );
}
