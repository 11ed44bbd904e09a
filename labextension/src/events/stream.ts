import { ISocket, ITransport } from '../api/transport';
import { IStreamEvent } from '../api/types';
import { Backoff } from './backoff';

const EVENTS = 'api/v1/orchestrator/events';
/** A socket that neither opens nor fails for so long is given up. */
const OPEN_TIMEOUT_MS = 30_000;

/** After a longer absence the list is read anew: catching up event by event could take longer than that. */
const REPLAY_LIMIT_MS = 5 * 60_000;

export type ConnectionState = 'idle' | 'connecting' | 'open' | 'waiting';

export interface IEventListener {
  /** Something happened. */
  event?(event: IStreamEvent): void;
  /** The stream is open. `replayed` says that it goes on where it stopped; else events may have been missed. */
  opened?(replayed: boolean): void;
  /** The stream broke off, or could not be opened; it is tried again by itself. */
  lost?(): void;
}

export interface ITimers {
  set(callback: () => void, ms: number): number;
  clear(id: number): void;
}

const browserTimers: ITimers = {
  set: (callback, ms) => window.setTimeout(callback, ms),
  clear: id => window.clearTimeout(id)
};

/**
 * The one event stream of the page. It is open while somebody listens, and only then; after a break it goes on
 * behind the last event that was seen.
 */
export class EventStream {
  private readonly listeners = new Set<IEventListener>();
  private socket: ISocket | null = null;
  private timer: number | null = null;
  private lastSeq: number | null = null;
  private current: ConnectionState = 'idle';
  private leftAt = 0;

  constructor(
    private readonly transport: ITransport,
    private readonly backoff = new Backoff(),
    private readonly timers: ITimers = browserTimers,
    private readonly now: () => number = Date.now
  ) {}

  get state(): ConnectionState {
    return this.current;
  }

  /** Listen; call what comes back to stop listening. The last one who leaves closes the stream. */
  subscribe(listener: IEventListener): () => void {
    this.listeners.add(listener);
    if (this.listeners.size === 1) {
      if (this.now() - this.leftAt > REPLAY_LIMIT_MS) {
        this.lastSeq = null;
      }
      this.connect();
    } else if (this.current === 'open') {
      listener.opened?.(false);
    }
    return () => {
      this.listeners.delete(listener);
      if (this.listeners.size === 0) {
        this.disconnect();
      }
    };
  }

  /** Forget where the stream stopped and begin again: the cluster is another one. */
  restart(): void {
    this.disconnect();
    this.lastSeq = null;
    if (this.listeners.size > 0) {
      this.connect();
    }
  }

  /** The network has come back: what looks open may be dead, and what waits need not. */
  wake(): void {
    if (this.current === 'open') {
      this.abandon();
      this.connect();
    } else {
      this.hurry();
    }
  }

  /** Don't wait any longer: the cluster has come back. */
  hurry(): void {
    if (this.current === 'waiting') {
      this.cancelTimer();
      this.backoff.reset();
      this.connect();
    }
  }

  dispose(): void {
    this.listeners.clear();
    this.disconnect();
  }

  private connect(): void {
    const since = this.lastSeq;
    const socket = this.transport.socket(EVENTS, since === null ? {} : { since });
    this.current = 'connecting';
    this.socket = socket;
    this.timer = this.timers.set(() => {
      this.timer = null;
      if (this.socket === socket) {
        socket.close(1000);
        this.closed();
      }
    }, OPEN_TIMEOUT_MS);
    socket.onopen = () => {
      if (this.socket === socket) {
        this.cancelTimer();
        this.current = 'open';
        this.each(listener => listener.opened?.(since !== null));
      }
    };
    socket.onmessage = message => {
      if (this.socket === socket) {
        this.received(message.data);
      }
    };
    socket.onclose = () => {
      if (this.socket === socket) {
        this.closed();
      }
    };
  }

  private received(data: unknown): void {
    let event: IStreamEvent;
    try {
      event = JSON.parse(String(data)) as IStreamEvent;
    } catch {
      return;
    }
    if (typeof event !== 'object' || event === null || typeof event.job !== 'string') {
      return;
    }
    // Only what works counts as success: a stream that closes right after opening must not be hammered.
    this.backoff.reset();
    if (event.seq > 0) {
      const younger = this.lastSeq !== null && event.seq <= this.lastSeq;
      this.lastSeq = event.seq;
      if (younger) {
        // The numbers began anew: another database stands behind the same address.
        this.each(listener => listener.opened?.(false));
      }
    }
    this.each(listener => listener.event?.(event));
  }

  /** Whatever the code: a reader that fell behind (1013) has had events, so it waits the shortest time. */
  private closed(): void {
    this.cancelTimer();
    this.socket = null;
    this.current = 'waiting';
    this.each(listener => listener.lost?.());
    // A listener may have left, or started the stream again.
    if (this.listeners.size > 0 && this.current === 'waiting') {
      this.timer = this.timers.set(() => {
        this.timer = null;
        this.connect();
      }, this.backoff.next());
    }
  }

  private disconnect(): void {
    this.abandon();
    this.current = 'idle';
    this.leftAt = this.now();
    this.backoff.reset();
  }

  private abandon(): void {
    this.cancelTimer();
    const socket = this.socket;
    this.socket = null;
    socket?.close(1000);
  }

  private cancelTimer(): void {
    if (this.timer !== null) {
      this.timers.clear(this.timer);
      this.timer = null;
    }
  }

  private each(call: (listener: IEventListener) => void): void {
    for (const listener of [...this.listeners]) {
      call(listener);
    }
  }
}
