import { Api } from '../api/client';
import { ApiError, asApiError } from '../api/errors';
import { check, Health } from '../api/handshake';
import { IJob, INodeInfo, isOver, IStreamEvent } from '../api/types';
import { EventStream } from '../events/stream';
import { Lookups } from './lookups';
import { endingOf, newsIn } from './news';
import { Observable } from './signal';
import { count, DELETION, IJobEntry } from './state';
import { Store } from './store';

/**
 * How much somebody wants to know: `active` is enough for counts and notifications, `all` also reads the whole
 * list of jobs.
 */
export type Interest = 'active' | 'all';

const FIRST_PAGE = 200;
const NEXT_PAGE = 1000;
/** A cluster that pushes no events (the official server) is asked so often, while the panel is on screen or a job goes on. */
const POLL_MS = 5000;

/** Hears of an event, and what was known of its job before. */
export type Watcher = (event: IStreamEvent, before?: IJobEntry) => void;

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
  /** Called with each event of the stream that is not a replay, or what a cluster that pushes nothing was asked for. */
  readonly watchers = new Set<Watcher>();

  private readonly interests = new Map<symbol, Interest>();
  private readonly lookups: Lookups;
  private leave: (() => void) | null = null;
  private pollTimer: number | null = null;
  private loading: AbortController | null = null;
  private checking: Promise<void> | null = null;
  private cluster = '';

  constructor(
    private readonly api: Api,
    private readonly events: EventStream,
    private readonly store: Store,
    private readonly version: string
  ) {
    this.lookups = new Lookups(api, store, this.generation, jobs => this.took(jobs));
  }

  /** Show interest; call what comes back to lose it. Without any interest nothing is open and nothing asked. */
  acquire(interest: Interest): () => void {
    const key = Symbol(interest);
    this.interests.set(key, interest);
    if (this.interests.size === 1) {
      this.start();
      void this.check();
    } else if (interest === 'all' && (this.polls() || !this.store.snapshot().complete)) {
      void this.load();
    }
    return () => {
      this.interests.delete(key);
      if (this.interests.size === 0) {
        this.stop();
      }
    };
  }

  /** Ask for the health again; a cluster that is back is connected to at once. Callers at the same time share one. */
  check(): Promise<void> {
    this.checking ??= this.ask().finally(() => (this.checking = null));
    return this.checking;
  }

  /** Ask the connected node about itself again. */
  async readNode(): Promise<void> {
    const generation = this.generation.get();
    const node = await this.api.agent.node().catch(() => null);
    if (await this.hasMoved()) {
      // It is another cluster's answer: somebody switched elsewhere, and nobody has told us yet.
      await this.checking;
      await this.check();
    } else if (generation === this.generation.get()) {
      const polled = this.polls();
      this.node.set(node);
      if (polled !== this.polls() && this.interests.size > 0) {
        this.stop();
        this.start();
      }
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

  /** A row is on screen and lacks its node: ask for the executions, a few at a time, the last shown first. */
  wantExecutions(job: string): void {
    this.lookups.wantExecutions(job);
  }

  /** A job has changed, somebody says who heard it elsewhere: ask for it. */
  wantJob(job: string): void {
    this.lookups.wantJob(job);
  }

  /** Whether the cluster is another one than it was when it was last asked for its health. */
  private async hasMoved(): Promise<boolean> {
    const cluster = clusterOf(await check(() => this.api.agent.status(), this.version));
    return this.cluster !== '' && cluster !== '' && cluster !== this.cluster;
  }

  private async ask(): Promise<void> {
    let health: Health;
    let generation: number;
    do {
      generation = this.generation.get();
      health = await check(() => this.api.agent.status(), this.version);
      // Who switched meanwhile wants the answer of the new cluster.
    } while (generation !== this.generation.get());
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
      // Only when it has come back: a stream that is refused again and again keeps its growing waits.
      if (!wasAlive || moved) {
        this.events.hurry();
      }
    }
    if (moved && this.interests.size > 0) {
      await this.load();
    }
  }

  private forget(): void {
    const polled = this.polls();
    this.loading?.abort();
    this.lookups.clear();
    this.ready.set(false);
    this.problem.set(null);
    this.node.set(null);
    this.store.dispatch({ type: 'reset' });
    this.store.flush();
    this.generation.set(this.generation.get() + 1);
    this.events.restart();
    if (polled && this.interests.size > 0) {
      this.stop();
      this.start();
    }
  }

  /** Whether the connected node is known to push nothing. */
  private polls(): boolean {
    const node = this.node.get();
    return node !== null && !(node.Features ?? []).includes('events');
  }

  private start(): void {
    this.lookups.resume();
    if (this.polls()) {
      void this.poll();
      return;
    }
    this.leave = this.events.subscribe({
      event: event => this.saw(event),
      opened: replayed => void this.opened(replayed),
      lost: () => void this.check()
    });
  }

  private stop(): void {
    this.leave?.();
    this.leave = null;
    this.loading?.abort();
    this.loading = null;
    this.lookups.pause();
    if (this.pollTimer !== null) {
      window.clearTimeout(this.pollTimer);
      this.pollTimer = null;
    }
  }

  private async poll(): Promise<void> {
    this.pollTimer = window.setTimeout(() => void this.poll(), POLL_MS);
    if (this.loading === null && (this.wantsAll() || !this.ready.get() || this.underWay().length > 0)) {
      // No stream ends when a kernel or a terminal switches to another cluster: it has to be asked for.
      await this.check();
      await this.load();
    }
  }

  private async opened(replayed: boolean): Promise<void> {
    if (!isAlive(this.health.get())) {
      void this.check();
    }
    const partly = this.wantsAll() && !this.store.snapshot().complete && this.loading === null;
    if (!replayed || !this.ready.get() || partly) {
      await this.load();
    }
  }

  private async load(): Promise<void> {
    this.loading?.abort();
    const loading = (this.loading = new AbortController());
    const { signal } = loading;
    const listed = new Set<string>();
    const known = [...this.store.snapshot().jobs.keys()];
    // Polling a list that is known already means its newest page only.
    const once = this.polls() && this.store.snapshot().complete;
    try {
      let page = await this.api.jobs.list({ limit: FIRST_PAGE, signal });
      while (!signal.aborted) {
        (page.Items ?? []).forEach(job => listed.add(job.ID));
        this.took(page.Items ?? [], !page.NextToken || undefined);
        this.ready.set(true);
        if (!page.NextToken) {
          this.store.dispatch({ type: 'gone', jobs: known.filter(id => !listed.has(id)) });
          break;
        }
        if (once || !this.wantsMore()) {
          this.underWay().forEach(id => listed.has(id) || this.lookups.wantJob(id));
          break;
        }
        page = await this.api.jobs.list({ token: page.NextToken, limit: NEXT_PAGE, signal });
      }
      if (!signal.aborted) {
        this.problem.set(null);
      }
    } catch (reason) {
      if (!signal.aborted) {
        this.problem.set(asApiError(reason));
        this.ready.set(true);
      }
    } finally {
      if (this.loading === loading) {
        this.loading = null;
      }
    }
  }

  private took(jobs: readonly IJob[], complete?: boolean): void {
    const known = this.store.snapshot().jobs;
    const news = this.polls() ? newsIn(known, jobs) : [];
    this.store.dispatch({ type: 'jobs', jobs, complete });
    this.store.flush();
    news.forEach(event => void this.tell(event, known.get(event.job)));
  }

  /** Tell of what a cluster that pushes nothing was asked for; with the exit code, which its list of jobs does not say. */
  private async tell(event: IStreamEvent, before: IJobEntry | undefined): Promise<void> {
    const generation = this.generation.get();
    let details = event.details;
    if (isOver(event.state || undefined)) {
      const executions = await this.api.jobs.executions(event.job).catch(() => null);
      if (executions !== null && generation === this.generation.get()) {
        this.store.dispatch({ type: 'executions', job: event.job, executions });
        details = { ...details, ...endingOf(event, executions) };
      }
    }
    if (generation === this.generation.get()) {
      this.watchers.forEach(watcher => watcher({ ...event, details }, before));
    }
  }

  /** The jobs that are under way, as far as is known. */
  private underWay(): string[] {
    const jobs = [...this.store.snapshot().jobs.values()];
    return jobs.filter(entry => UNDER_WAY.has(entry.state)).map(entry => entry.id);
  }

  private wantsAll(): boolean {
    return [...this.interests.values()].includes('all');
  }

  private wantsMore(): boolean {
    if (this.wantsAll()) {
      return true;
    }
    const health = this.health.get();
    const active = health.kind === 'ok' ? (health.status.active_jobs ?? 0) : 0;
    const { running, queued } = count(this.store.snapshot());
    return running + queued < active;
  }

  private saw(event: IStreamEvent): void {
    const entry = this.store.snapshot().jobs.get(event.job);
    const lives = event.seq > 0 && event.topic !== DELETION;
    if (lives && (entry === undefined || (event.job_version ?? 0) > (entry.job.Version ?? 0))) {
      this.lookups.wantJob(event.job);
    }
    this.store.dispatch({ type: 'event', event });
    this.watchers.forEach(watcher => watcher(event, entry));
  }
}

const UNDER_WAY: ReadonlySet<string> = new Set(['Pending', 'Queued', 'Running']);

function isAlive(health: Health): boolean {
  return (health.kind === 'ok' || health.kind === 'mismatch') && health.status.alive;
}

function clusterOf(health: Health): string {
  return 'status' in health ? (health.status.cluster?.url ?? '') : '';
}
