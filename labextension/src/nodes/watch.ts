import { ApiError, asApiError } from '../api/errors';
import { isOver, IStreamEvent } from '../api/types';
import { Observable } from '../store/signal';
import { IBacalhau } from '../tokens';

/** At most one reading in this time, however much happens. */
const THROTTLE_MS = 1000;
/** A large cluster is read less often: reading takes one part in so many of the time. */
const SHARE = 10;

/** Keeps what is known of nodes like the cluster while somebody looks: one reading, then one after news. */
export class NodesWatch {
  /** What went wrong at the last reading; null when it went well. */
  readonly problem = new Observable<ApiError | null>(null);
  /** Whether the list has been read. */
  readonly ready = new Observable<boolean>(false);

  private reading: AbortController | null = null;
  private timer: number | null = null;
  /** Whether there was news since a reading began that still goes on. */
  private isOutdated = false;
  private last = -Infinity;
  private tookMs = 0;

  /** `load` reads, and hands over what it read unless its signal was aborted meanwhile. */
  constructor(
    private readonly app: Pick<IBacalhau, 'api' | 'store' | 'sync'>,
    private readonly load: (signal: AbortSignal) => Promise<void> = signal => readNodes(app, signal),
    private readonly now: () => number = () => performance.now()
  ) {}

  /** Begin; call what comes back to end it. */
  start(): () => void {
    const { sync } = this.app;
    const saw = (event: IStreamEvent): void => {
      // Other people's clusters say nothing about nodes, but executions that begin and end move their meters.
      if (
        event.topic === 'Node' ||
        (event.seq > 0 && (event.state === 'Running' || isOver(event.state || undefined)))
      ) {
        this.soon();
      }
    };
    const release = sync.acquire('active');
    sync.watchers.add(saw);
    const leave = [
      sync.health.subscribe(() => this.soon()),
      sync.generation.subscribe(() => {
        this.giveUp();
        this.ready.set(false);
      })
    ];
    void this.read();
    return () => {
      leave.forEach(each => each());
      sync.watchers.delete(saw);
      release();
      this.giveUp();
      if (this.timer !== null) {
        window.clearTimeout(this.timer);
        this.timer = null;
      }
    };
  }

  /** Read the list now. */
  async read(): Promise<void> {
    this.giveUp();
    const reading = (this.reading = new AbortController());
    this.last = this.now();
    try {
      await this.load(reading.signal);
      if (!reading.signal.aborted) {
        this.tookMs = this.now() - this.last;
        this.problem.set(null);
        this.ready.set(true);
      }
    } catch (reason) {
      if (!reading.signal.aborted) {
        this.problem.set(asApiError(reason));
        this.ready.set(true);
      }
    } finally {
      if (this.reading === reading) {
        this.reading = null;
        if (this.isOutdated) {
          this.soon();
        }
      }
    }
  }

  /** What is being read is out of date for certain, or wanted by nobody. */
  private giveUp(): void {
    this.reading?.abort();
    this.reading = null;
    this.isOutdated = false;
  }

  private soon(): void {
    const throttle = Math.max(THROTTLE_MS, SHARE * this.tookMs);
    const wait = Math.max(50, throttle - (this.now() - this.last));
    this.timer ??= window.setTimeout(() => {
      this.timer = null;
      if (this.reading === null) {
        void this.read();
      } else {
        // Giving it up for each news, a slow cluster on which much happens would never be read to its end.
        this.isOutdated = true;
      }
    }, wait);
  }
}

async function readNodes(app: Pick<IBacalhau, 'api' | 'store'>, signal: AbortSignal): Promise<void> {
  const nodes = await app.api.nodes.list(signal);
  if (!signal.aborted) {
    app.store.dispatch({ type: 'nodes', nodes });
  }
}
