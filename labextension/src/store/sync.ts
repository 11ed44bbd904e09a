import { Api } from '../api/client';
import { ApiError, asApiError } from '../api/errors';
import { check, Health } from '../api/handshake';
import { IJob, INodeInfo, IPage, IStreamEvent } from '../api/types';
import { EventStream } from '../events/stream';
import { Observable } from './signal';
import { count } from './state';
import { Store } from './store';

/**
 * How much somebody wants to know: `active` is enough for counts and notifications, `all` also reads the whole
 * list of jobs.
 */
export type Interest = 'active' | 'all';

const FIRST_PAGE = 200;
const NEXT_PAGE = 1000;
/** Above this many unknown jobs the list is read again instead of asking for each. */
const SINGLE_READS = 5;
const GATHER_MS = 30;
const CONCURRENT = 2;

/** Keeps the store like the cluster while somebody is interested: one read of the list, then events. */
export class Sync {
  /** How things stand with server half and cluster. */
  readonly health = new Observable<Health>({ kind: 'unknown' });
  /** What went wrong when the list was last read; null when it went well. */
  readonly problem = new Observable<ApiError | null>(null);
  /** Whether the first page has been read. */
  readonly ready = new Observable<boolean>(false);
  /** What the connected node says about itself; null while unknown. */
  readonly node = new Observable<INodeInfo | null>(null);
  /** Counts up whenever the cluster is another one: what was read before belongs to the old one. */
  readonly generation = new Observable<number>(0);
  /** Called with each event of the stream that is not a replay, after the store has been told. */
  readonly watchers = new Set<(event: IStreamEvent) => void>();

  private readonly interests = new Map<symbol, Interest>();
  private leave: (() => void) | null = null;
  private loading: AbortController | null = null;
  private checking: Promise<void> | null = null;
  private checkAgain = false;
  private cluster = '';
  private readonly unknown = new Set<string>();
  private gatherTimer: number | null = null;
  private readonly wanted: string[] = [];
  private asking = 0;

  constructor(
    private readonly api: Api,
    private readonly events: EventStream,
    private readonly store: Store,
    private readonly version: string
  ) {}

  /** Show interest; call what comes back to lose it. Without any interest nothing is open and nothing asked. */
  acquire(interest: Interest): () => void {
    const key = Symbol(interest);
    this.interests.set(key, interest);
    if (this.leave === null) {
      this.leave = this.events.subscribe({
        event: event => this.saw(event),
        opened: replayed => void this.opened(replayed),
        lost: () => void this.check()
      });
      void this.check();
    } else if (interest === 'all' && !this.store.snapshot().complete) {
      void this.load();
    }
    return () => {
      this.interests.delete(key);
      if (this.interests.size === 0) {
        this.leave?.();
        this.leave = null;
        this.loading?.abort();
        this.loading = null;
      }
    };
  }

  /** Ask for the health again; a cluster that is back is connected to at once. */
  async check(): Promise<void> {
    if (this.checking !== null) {
      // The answer that is on its way may be about the time before.
      this.checkAgain = true;
      return this.checking;
    }
    this.checking = this.checkNow();
    await this.checking;
  }

  private async checkNow(): Promise<void> {
    let health: Health;
    do {
      this.checkAgain = false;
      health = await check(() => this.api.agent.status(), this.version);
    } while (this.checkAgain);
    this.checking = null;
    const wasAlive = isAlive(this.health.get());
    const cluster = clusterOf(health);
    const moved = this.cluster !== '' && cluster !== '' && cluster !== this.cluster;
    this.cluster = cluster || this.cluster;
    if (moved) {
      // Somebody else switched: another window, a kernel, a terminal.
      this.forget();
    }
    this.health.set(health);
    if (isAlive(health)) {
      if (!wasAlive || this.node.get() === null) {
        void this.readNode();
      }
      this.events.hurry();
    }
    if (moved && this.interests.size > 0) {
      await this.load();
    }
  }

  /** Ask the connected node about itself again. */
  async readNode(): Promise<void> {
    const generation = this.generation.get();
    const node = await this.api.agent.node().catch(() => null);
    if (generation === this.generation.get()) {
      this.node.set(node);
    }
  }

  /** Read everything again. */
  async refresh(): Promise<void> {
    await this.check();
    await this.load();
  }

  /** The cluster is another one: forget everything. */
  async reconnect(): Promise<void> {
    this.cluster = '';
    this.forget();
    await this.refresh();
  }

  private forget(): void {
    this.loading?.abort();
    this.unknown.clear();
    this.wanted.length = 0;
    this.ready.set(false);
    this.problem.set(null);
    this.node.set(null);
    this.store.dispatch({ type: 'reset' });
    this.store.flush();
    this.generation.set(this.generation.get() + 1);
    this.events.restart();
  }

  /** A row is on screen and lacks its node: ask for the executions, a few at a time, the last shown first. */
  wantExecutions(job: string): void {
    const entry = this.store.snapshot().jobs.get(job);
    if (entry && entry.executions === null && !this.wanted.includes(job)) {
      this.wanted.push(job);
      if (this.wanted.length > 50) {
        this.wanted.shift();
      }
      void this.askNext();
    }
  }

  private async opened(replayed: boolean): Promise<void> {
    if (!replayed || !this.ready.get()) {
      await this.load();
    }
  }

  private async load(): Promise<void> {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    try {
      let page = await this.api.jobs.list({ limit: FIRST_PAGE, signal: loading.signal });
      this.took(page, loading.signal);
      this.ready.set(true);
      while (page.NextToken && this.wantsMore()) {
        page = await this.api.jobs.list({ token: page.NextToken, limit: NEXT_PAGE, signal: loading.signal });
        this.took(page, loading.signal);
      }
      this.problem.set(null);
    } catch (reason) {
      if (!loading.signal.aborted) {
        this.problem.set(asApiError(reason));
        this.ready.set(true);
      }
    } finally {
      if (this.loading === loading) {
        this.loading = null;
      }
    }
  }

  private took(page: IPage<IJob>, signal: AbortSignal): void {
    if (signal.aborted) {
      throw new Error('another reading has begun');
    }
    this.store.dispatch({ type: 'jobs', jobs: page.Items ?? [], complete: !page.NextToken || undefined });
    this.store.flush();
  }

  private wantsMore(): boolean {
    if ([...this.interests.values()].includes('all')) {
      return true;
    }
    const health = this.health.get();
    const active = health.kind === 'ok' ? (health.status.active_jobs ?? 0) : 0;
    const { running, queued } = count(this.store.snapshot());
    return running + queued < active;
  }

  private saw(event: IStreamEvent): void {
    const entry = this.store.snapshot().jobs.get(event.job);
    if (event.seq > 0 && (entry === undefined || (event.job_version ?? 0) > (entry.job.Version ?? 0))) {
      this.unknown.add(event.job);
      this.gatherTimer ??= window.setTimeout(() => void this.gather(), GATHER_MS);
    }
    this.store.dispatch({ type: 'event', event });
    this.watchers.forEach(watcher => watcher(event));
  }

  /** Read the jobs that events named and the store does not know. */
  private async gather(): Promise<void> {
    this.gatherTimer = null;
    const ids = [...this.unknown];
    this.unknown.clear();
    const generation = this.generation.get();
    const took = (jobs: readonly IJob[]): void => {
      if (generation === this.generation.get()) {
        this.store.dispatch({ type: 'jobs', jobs });
      }
    };
    try {
      if (ids.length > SINGLE_READS) {
        const page = await this.api.jobs.list({ limit: Math.min(NEXT_PAGE, FIRST_PAGE + ids.length) });
        took(page.Items ?? []);
      } else {
        const jobs = await Promise.all(ids.map(id => this.api.jobs.get(id).catch(() => null)));
        took(jobs.filter((job): job is IJob => job !== null));
      }
    } catch {
      // The stream's own trouble is told elsewhere; the next event of these jobs asks again.
    }
  }

  private async askNext(): Promise<void> {
    if (this.asking >= CONCURRENT) {
      return;
    }
    const job = this.wanted.pop();
    if (job === undefined) {
      return;
    }
    this.asking += 1;
    try {
      this.store.dispatch({ type: 'executions', job, executions: await this.api.jobs.executions(job) });
    } catch {
      this.store.dispatch({ type: 'executions', job, executions: [] });
    } finally {
      this.asking -= 1;
      void this.askNext();
    }
  }
}

function isAlive(health: Health): boolean {
  return (health.kind === 'ok' || health.kind === 'mismatch') && health.status.alive;
}

function clusterOf(health: Health): string {
  return 'status' in health ? (health.status.cluster?.url ?? '') : '';
}
