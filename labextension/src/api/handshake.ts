import { ApiError, asApiError } from './errors';
import { IStatus } from './types';

/** How things stand between this front end, the server half and the cluster. */
export type Health =
  | { kind: 'unknown' }
  /** All is well. */
  | { kind: 'ok'; status: IStatus }
  /** No server half: not installed where the Jupyter server runs, or not enabled. */
  | { kind: 'missing' }
  /** The server half is of another version. */
  | { kind: 'mismatch'; status: IStatus; mine: string }
  /** The server half is there, the cluster is not. */
  | { kind: 'down'; status: IStatus }
  /** The Jupyter server itself does not answer, or does not let us in. */
  | { kind: 'failed'; error: ApiError };

/** Ask the server half who it is; never throws. */
export async function check(ask: () => Promise<IStatus>, mine: string): Promise<Health> {
  let status: IStatus;
  try {
    status = await ask();
  } catch (reason) {
    const error = asApiError(reason);
    return error.kind === 'extension' ? { kind: 'missing' } : { kind: 'failed', error };
  }
  if (release(status.version) !== release(mine)) {
    return { kind: 'mismatch', status, mine };
  }
  return status.alive ? { kind: 'ok', status } : { kind: 'down', status };
}

/** Python and npm spell the same version differently (0.1.0.dev0, 0.1.0-dev.0). */
export function release(version: string): string {
  const match = /^v?(\d+)\.(\d+)\.(\d+)(.*)$/.exec(String(version).trim());
  if (match === null) {
    return String(version);
  }
  const suffix = (match[4] ?? '').replace(/[-._]/g, '').replace('alpha', 'a').replace('beta', 'b');
  return `${match[1]}.${match[2]}.${match[3]}${suffix}`;
}
