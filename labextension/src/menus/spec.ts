import { ApiError } from '../api/errors';
import { IJob } from '../api/types';
import { unknownFields } from './fields';

/** Longer files are no job specs. */
export const SPEC_BYTES = 5_000_000;

/** Whether a file may be a job spec, as its name says. */
export function isSpecName(path: string): boolean {
  return /\.(ya?ml|json)$/i.test(path);
}

/** Read a job spec, YAML or JSON, bare or below `Job`; throws `ApiError` with place and reason, also for unknown fields. */
export async function readSpec(text: string, name: string): Promise<Partial<IJob>> {
  const { load, YAMLException } = await import('js-yaml');
  let plain: unknown;
  try {
    plain = load(text);
  } catch (reason) {
    if (!(reason instanceof YAMLException)) {
      throw reason;
    }
    const { line, column } = reason.mark ?? {};
    const place = line === undefined ? '' : ` at line ${line + 1}, column ${(column ?? 0) + 1}`;
    throw new ApiError(`${name} is not valid YAML${place}: ${reason.reason}`, 'api', 400);
  }
  if (!isMapping(plain)) {
    throw new ApiError(`${name} is no job spec: it must be a mapping with Type and Tasks`, 'api', 400);
  }
  const wrapper = Object.entries(plain).find(([key]) => key.toLowerCase() === 'job')?.[1];
  const spec = isMapping(wrapper) ? wrapper : plain;
  const names = Object.keys(spec).map(key => key.toLowerCase());
  if (!names.includes('tasks')) {
    throw new ApiError(`${name} is no job spec: it has no Tasks`, 'api', 400);
  }
  const unknown = unknownFields(spec);
  if (unknown.length) {
    throw new ApiError(`${name}: ${unknown.slice(0, 20).join('\n')}`, 'api', 400);
  }
  return spec;
}

function isMapping(value: unknown): value is Record<string, unknown> {
  return typeof value === 'object' && value !== null && !Array.isArray(value);
}
