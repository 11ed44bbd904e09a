import { IJob } from '../api/types';
import { maskedValue } from '../format/secrets';
import { bytes } from '../format/units';

const ADDED = ['ID', 'State', 'Version', 'Revision', 'CreateTime', 'ModifyTime', 'Tasks'];

/** A job without what the orchestrator added to it. */
export function spec(job: IJob): Record<string, unknown> {
  const own = Object.entries(job.Meta ?? {}).filter(([key]) => !key.startsWith('bacalhau.org/'));
  const shown: Record<string, unknown> = { ...job, Meta: Object.fromEntries(own), Tasks: undefined };
  for (const name of ADDED) {
    delete shown[name];
  }
  if (job.Name === job.ID) {
    delete shown.Name;
  }
  // Tasks last: they are the long part.
  return without({ ...shown, Tasks: job.Tasks }) as Record<string, unknown>;
}

/**
 * The spec as it is shown: values of variables whose name looks secret are hidden, and data that travels inside the job
 * is named. What a person copies has all of it.
 */
export function shown(value: unknown, name = ''): unknown {
  if (typeof value === 'string') {
    return shownText(value, name);
  }
  if (Array.isArray(value)) {
    return value.map(item => shown(item, name));
  }
  if (typeof value !== 'object' || value === null) {
    return value;
  }
  const inside = name === 'Env';
  return Object.fromEntries(
    Object.entries(value).map(([key, item]) => [
      key,
      inside && typeof item === 'string' ? maskedValue(key, item) : shown(item, key)
    ])
  );
}

function shownText(text: string, name: string): string {
  const data = /^data:[^,]*;base64,/.exec(text)?.[0];
  if (data) {
    return `${data}… ${bytes(Math.floor(((text.length - data.length) * 3) / 4))}`;
  }
  const variable = name === 'EnvironmentVariables' ? /^([^=]+)=/.exec(text)?.[1] : undefined;
  return variable ? `${variable}=${maskedValue(variable, text.slice(variable.length + 1))}` : text;
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
