import { hostOf } from './units';

/** What is being done for a job; of a Docker host elsewhere with its name: `on gpu1 (copying image 120/253 MB)`. */
export function atWork(
  node: string,
  phase: string,
  trans: { __(text: string, ...args: unknown[]): string }
): string {
  const host = hostOf(node);
  const isSaid = phase === 'running' || phase.startsWith(`${host} `);
  return host && phase && !isSaid ? trans.__('on %1 (%2)', host, phase) : phase;
}
