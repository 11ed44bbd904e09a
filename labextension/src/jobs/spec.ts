import { IJob } from '../api/types';

const ADDED = ['ID', 'State', 'Version', 'Revision', 'CreateTime', 'ModifyTime', 'Tasks'];

/** A job without what the orchestrator added to it. */
export function spec(job: IJob): Record<string, unknown> {
  const own = Object.entries(job.Meta ?? {}).filter(([key]) => !key.startsWith('bacalhau.org/'));
  const found: Record<string, unknown> = { ...job, Meta: Object.fromEntries(own), Tasks: undefined };
  for (const name of ADDED) {
    delete found[name];
  }
  if (job.Name === job.ID) {
    delete found.Name;
  }
  // Tasks last: they are the long part.
  return without({ ...found, Tasks: job.Tasks }) as Record<string, unknown>;
}

/** Leave out members that say nothing: null, and empty lists, maps and text. */
function without(value: unknown): unknown {
  if (Array.isArray(value)) {
    return value.map(without);
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const members = Object.entries(value)
    .map(([key, item]) => [key, without(item)] as const)
    .filter(([, item]) => !isNothing(item));
  return Object.fromEntries(members);
}

function isNothing(value: unknown): boolean {
  return (
    value === null ||
    value === undefined ||
    value === '' ||
    (typeof value === 'object' && Object.keys(value).length === 0)
  );
}
