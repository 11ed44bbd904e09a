import { Action, EMPTY, IState, reduce } from './state';

/** Calls back once, soon: before the next frame, or after a moment where frames stand still (a hidden page). */
export type Schedule = (callback: () => void) => void;

export const nextFrame: Schedule = callback => {
  let done = false;
  const once = (): void => {
    if (!done) {
      done = true;
      window.clearTimeout(timer);
      callback();
    }
  };
  const timer = window.setTimeout(once, 100);
  window.requestAnimationFrame(once);
};

/** Holds the state; collects actions and applies them together, once a frame. */
export class Store {
  private state: IState = EMPTY;
  private pending: Action[] = [];
  private scheduled = false;
  private readonly listeners = new Set<() => void>();

  constructor(private readonly schedule: Schedule = nextFrame) {}

  /** The state that listeners were last told about. */
  readonly snapshot = (): IState => this.state;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  dispatch(...actions: Action[]): void {
    this.pending.push(...actions);
    if (!this.scheduled && this.pending.length > 0) {
      this.scheduled = true;
      this.schedule(() => this.flush());
    }
  }

  /** Apply what waits, now. */
  flush(): void {
    this.scheduled = false;
    const actions = this.pending;
    this.pending = [];
    const state = reduce(this.state, actions);
    if (state !== this.state) {
      this.state = state;
      [...this.listeners].forEach(listener => listener());
    }
  }
}
