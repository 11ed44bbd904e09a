import { IBacalhau } from '../tokens';

/** Whether the list of jobs is on screen. */
export function jobsAreShown(bacalhau: IBacalhau): boolean {
  const panel = document.querySelector('#bacalhau-panel');
  return bacalhau.tab.get() === 'jobs' && panel !== null && panel.clientHeight > 0 && !document.hidden;
}
