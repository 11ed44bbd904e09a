/** Wait for so many milliseconds. */
export function pause(ms: number): Promise<void> {
  return new Promise(resolve => window.setTimeout(resolve, ms));
}

/** Growing waits between attempts, spread so that many browsers don't come back at the same instant. */
export class Backoff {
  private attempt = 0;

  constructor(
    private readonly firstMs = 250,
    private readonly mostMs = 15000,
    private readonly random: () => number = Math.random
  ) {}

  /** The next wait, in milliseconds. */
  next(): number {
    const full = Math.min(this.mostMs, this.firstMs * 2 ** this.attempt);
    this.attempt += 1;
    return full * (0.5 + this.random() / 2);
  }

  /** Something worked: start over. */
  reset(): void {
    this.attempt = 0;
  }
}
