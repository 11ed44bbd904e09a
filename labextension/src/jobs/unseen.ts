import { isOver, IStreamEvent } from '../api/types';
import { outcomeOf } from '../store/outcome';

/** The jobs that failed since somebody last looked at the list of jobs. */
export class Unseen {
  private readonly failed = new Set<string>();

  /** Take an event into account; says whether the number has changed. */
  take(event: IStreamEvent, listShown: boolean): boolean {
    if (listShown || event.execution || !isOver(event.state || undefined)) {
      return false;
    }
    const before = this.failed.size;
    if (outcomeOfEvent(event) === 'failed') {
      this.failed.add(event.job);
    }
    return this.failed.size !== before;
  }

  /** Somebody looks; says whether the number has changed. */
  clear(): boolean {
    const had = this.failed.size > 0;
    this.failed.clear();
    return had;
  }

  get count(): number {
    return this.failed.size;
  }
}

/** The exit code that an event tells of; null where it tells of none. */
export function codeOfEvent(event: IStreamEvent): number | null {
  const text = event.details?.ExitCode ?? '';
  return /^-?\d{1,10}$/.test(text) ? Number(text) : null;
}

/** The outcome that an event tells of. */
export function outcomeOfEvent(event: IStreamEvent): ReturnType<typeof outcomeOf> {
  return outcomeOf(event.state || 'Undefined', codeOfEvent(event));
}
