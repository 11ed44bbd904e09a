/** For how long after a key or a button what the page asks counts as asked by a person. */
export const RECENT_MS = 2000;

const SIGNS = ['pointerdown', 'keydown', 'wheel'];

/**
 * Knows whether somebody uses this page just now. The page asks much by itself (timers, events), and an idle
 * Jupyter server must not be kept alive by that.
 */
export class Presence {
  private last = -Infinity;

  constructor(
    page: EventTarget = window,
    private readonly now: () => number = () => performance.now()
  ) {
    const seen = (event: Event): void => {
      // What a script dispatches is no person's.
      if (event.isTrusted) {
        this.last = this.now();
      }
    };
    SIGNS.forEach(sign => page.addEventListener(sign, seen, { capture: true, passive: true }));
  }

  /** What tells Jupyter that a request is a person's; nothing for the page's own. */
  headers(): Record<string, string> {
    return this.now() - this.last <= RECENT_MS ? { 'X-Bacalhau-Person': '1' } : {};
  }
}
