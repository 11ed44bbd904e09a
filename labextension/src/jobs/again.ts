import { IJob } from '../api/types';
import { RERUN_OF, rerunOf, TITLE, titleOf } from './title';

/** What the orchestrator adds to a job, and the name, which belongs to one job of a namespace. */
const NOT_COPIED = ['ID', 'Name', 'State', 'Version', 'Revision', 'CreateTime', 'ModifyTime'];
/** With this mark a client finds its own submission again: a copy is another one. */
const SUBMISSION = 'jupyter.org/bacalhau-submission';

/**
 * The job to submit to run another one again: a copy without its name, linked to the first run. Unlike a further version
 * of the same job it has a row, results and logs of its own, on any cluster.
 */
export function again(job: IJob): Partial<IJob> {
  const kept = Object.entries(job).filter(([name]) => !NOT_COPIED.includes(name));
  const own = Object.entries(job.Meta ?? {}).filter(
    ([key]) => !key.startsWith('bacalhau.org/') && key !== SUBMISSION
  );
  const marks = { [TITLE]: titleOf(job), [RERUN_OF]: rerunOf(job) || job.ID };
  return { ...Object.fromEntries(kept), Meta: { ...Object.fromEntries(own), ...marks } };
}
