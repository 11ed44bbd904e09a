import * as React from 'react';
import { JobDetails } from './JobDetails';
import { JobList } from './JobList';
import { useBacalhau, useObservable, usePageVisible } from '../components/context';

/** The list of jobs, or the details of one. */
export function JobsTab(): JSX.Element {
  const { sync, details } = useBacalhau();
  const shown = useObservable(details);
  const inFront = usePageVisible();
  React.useEffect(() => (inFront ? sync.acquire('all') : undefined), [sync, inFront]);
  // The list stays as it is behind the details: filter, place and selection are there again afterwards.
  return (
    <>
      <div className="jp-Bacalhau-fill" hidden={shown !== null}>
        <JobList />
      </div>
      {shown !== null && (
        <JobDetails key={shown.job} job={shown.job} part={shown.part} onClose={() => details.set(null)} />
      )}
    </>
  );
}
