import { isOver } from '../api/types';
import { readable } from '../format/text';
import { exitCode, IJobEntry } from '../store/state';
import { Lookup } from './lookup';
import { IRecord } from './record';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** What an output says of its job: as the cluster says it, else as it was stored. */
export interface IFacts {
  readonly state: string;
  /** What is going on beyond the state; empty when the state says it all. */
  readonly phase: string;
  readonly node: string;
  readonly code: number;
  /** Why it failed, or what it waits for. */
  readonly message: string;
  /** Whether its program ended, but not well: the official state calls that `Completed`. */
  readonly exitedBadly: boolean;
}

/** `reason` says why the job waits, where that is known: it says more than the phase and the official message. */
export function factsOf(record: IRecord, entry: IJobEntry | undefined, reason = ''): IFacts {
  const state = entry?.state ?? record.state;
  // What the cell wrote when the job was over says nothing of a job that is not, as far as the cluster was asked.
  const stored = isOver(record.state) ? '' : record.phase;
  const phase = isOver(state) ? '' : reason || entry?.phase || stored;
  const details = entry?.job.State?.Details ?? {};
  const noted = /^-?\d{1,10}$/.test(details.ExitCode ?? '') ? Number(details.ExitCode) : null;
  const code = entry?.executions ? exitCode(entry) : (noted ?? record.exitCode ?? 0);
  const exitedBadly = state === 'Completed' && code !== 0;
  // The official message of a job that no node took begins with counts; the node's own reason is the error.
  const why = details.Error || record.error || (exitedBadly ? '' : entry?.job.State?.Message) || '';
  return {
    state,
    phase: phase === 'running' ? '' : phase,
    node: entry?.node || record.node,
    code,
    message: (state === 'Completed' && !exitedBadly) || reason || cellSaysWhy(record) ? '' : why,
    exitedBadly
  };
}

/** Whether the cell below says why the job failed: it printed all to the end, and ended with an exception. */
function cellSaysWhy(record: IRecord): boolean {
  return record.followed && !record.detached && isOver(record.state);
}

/**
 * Whether a card shows what its job printed: the cell below has not all of it when the page, the kernel or the server
 * was away while the job ran.
 */
export function wantsLog(record: IRecord, followedHere: boolean): boolean {
  return record.followed && !isOver(record.state) && (record.detached || !followedHere);
}

/** Why an output does not show the live state, a sentence each; empty when it does. */
export function reasons(record: IRecord, lookup: Lookup, trans: ITranslate): string[] {
  const lines: string[] = [];
  const endpoint = readable(record.endpoint);
  switch (lookup.kind) {
    case 'missing':
      lines.push(
        trans.__('Shown as it was stored: the Bacalhau server extension is missing in this Jupyter server.')
      );
      break;
    case 'elsewhere':
      lines.push(
        lookup.cluster
          ? trans.__(
              'Shown as it was stored: the job ran on %1, Jupyter is connected to %2.',
              endpoint,
              readable(lookup.cluster)
            )
          : trans.__(
              'Shown as it was stored: the job ran on %1, Jupyter is connected to no cluster.',
              endpoint
            )
      );
      break;
    case 'gone':
      lines.push(trans.__('Shown as it was stored: the cluster does not know this job any longer.'));
      break;
    case 'failed':
      lines.push(trans.__('Shown as it was stored: %1.', lookup.error.message.replace(/\.$/, '')));
      break;
  }
  if (record.newer) {
    lines.push(trans.__('A newer release of bacalhau-jupyter wrote this; some of it may be missing here.'));
  }
  return lines;
}
