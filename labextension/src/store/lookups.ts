import { Api } from '../api/client';
import { asApiError } from '../api/errors';
import { IJob } from '../api/types';
import { Observable } from './signal';
import { IJobEntry } from './state';
import { Store } from './store';

/** Above this many unknown jobs a page of the list is read first. */
const SINGLE_READS = 5;
/** More old jobs than this are not asked for one by one: the list is read when somebody looks at it. */
const MOST_SINGLE_READS = 100;
const PAGE = 1000;
const GATHER_MS = 30;
const RETRY_MS = 2000;
const CONCURRENT = 2;
const WAITING_ROWS = 50;

/** Reads single jobs that events named, and the executions of rows on screen: a few at a time. */
export class Lookups {
  private unknown = new Set<string>();
  private timer: number | null = null;
  private rows: string[] = [];
  private asking = 0;
  private paused = false;

  constructor(
    private readonly api: Api,
    private readonly store: Store,
    private readonly generation: Observable<number>,
    private readonly took: (jobs: readonly IJob[]) => void
  ) {}

  /** Read a job soon, together with others that are wanted in the same moment. */
  wantJob(id: string): void {
    this.unknown.add(id);
    this.gatherIn(GATHER_MS);
  }

  /** A row is on screen and lacks its node: ask for the executions, the last shown first. */
  wantExecutions(job: string): void {
    const entry = this.store.snapshot().jobs.get(job);
    if (entry && entry.executions === null && !this.rows.includes(job)) {
      this.rows.push(job);
      if (this.rows.length > WAITING_ROWS) {
        this.rows.shift();
      }
      void this.askNext();
    }
  }

  /** Forget what was wanted: it belongs to another cluster. */
  clear(): void {
    this.unknown.clear();
    this.rows = [];
  }

  /** Ask for nothing until `resume`; what events named is kept, because they don't come again. */
  pause(): void {
    this.paused = true;
    this.rows = [];
    if (this.timer !== null) {
      window.clearTimeout(this.timer);
      this.timer = null;
    }
  }

  resume(): void {
    this.paused = false;
    if (this.unknown.size > 0) {
      this.gatherIn(GATHER_MS);
    }
  }

  private gatherIn(ms: number): void {
    if (this.paused) {
      return;
    }
    this.timer ??= window.setTimeout(() => {
      this.timer = null;
      void this.gather();
    }, ms);
  }

  private async gather(): Promise<void> {
    const generation = this.generation.get();
    const current = (): boolean => generation === this.generation.get();
    const ids = [...this.unknown];
    this.unknown.clear();
    let left = ids;
    if (ids.length > SINGLE_READS) {
      const page = await this.api.jobs.list({ limit: Math.min(PAGE, 200 + ids.length) }).catch(() => null);
      if (page !== null && current()) {
        const jobs = page.Items ?? [];
        this.took(jobs);
        const listed = new Set(jobs.map(job => job.ID));
        left = ids.filter(id => !listed.has(id)).slice(0, MOST_SINGLE_READS);
      }
    }
    for (let at = 0; at < left.length && current(); at += SINGLE_READS) {
      await Promise.all(left.slice(at, at + SINGLE_READS).map(id => this.read(id, current)));
    }
  }

  private async read(id: string, current: () => boolean): Promise<void> {
    let job: IJob;
    try {
      job = await this.api.jobs.get(id);
    } catch (reason) {
      const error = asApiError(reason);
      if (!current()) {
        return;
      }
      if (error.status === 404) {
        this.store.dispatch({ type: 'gone', jobs: [id] });
      } else if (error.kind === 'network' || error.status >= 500) {
        // Its event does not come again.
        this.unknown.add(id);
        this.gatherIn(RETRY_MS);
      }
      return;
    }
    if (current()) {
      this.took([job]);
    }
  }

  /** A job as the events that have come leave it, also those that no listener was told of yet. */
  private entry(job: string): IJobEntry | undefined {
    this.store.flush();
    return this.store.snapshot().jobs.get(job);
  }

  private async askNext(): Promise<void> {
    if (this.asking >= CONCURRENT) {
      return;
    }
    const job = this.rows.pop();
    if (job === undefined) {
      return;
    }
    this.asking += 1;
    const asked = this.entry(job);
    try {
      const executions = await this.api.jobs.executions(job);
      // An event may have come meanwhile: then the answer may be what was before it.
      const isLate = this.entry(job) !== asked;
      this.store.dispatch({ type: 'executions', job, executions });
      if (isLate && !this.paused && !this.rows.includes(job)) {
        this.rows.push(job);
      }
    } catch {
      this.store.dispatch({ type: 'executions', job, executions: [] });
    } finally {
      this.asking -= 1;
      void this.askNext();
    }
  }
}
