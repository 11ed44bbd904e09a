/** A value that can be watched, in the form React's `useSyncExternalStore` wants. */
export class Observable<T> {
  private readonly listeners = new Set<() => void>();

  constructor(private value: T) {}

  readonly get = (): T => this.value;

  readonly subscribe = (listener: () => void): (() => void) => {
    this.listeners.add(listener);
    return () => this.listeners.delete(listener);
  };

  set(value: T): void {
    if (value !== this.value) {
      this.value = value;
      [...this.listeners].forEach(listener => listener());
    }
  }
}
