/** Where a key leads in a list: an index between its ends, or null where the key leads nowhere. */
export function keyInList(key: string, active: number, count: number, page: number): number | null {
  const steps = new Map([
    ['ArrowDown', active + 1],
    ['ArrowUp', active - 1],
    ['PageDown', active + page],
    ['PageUp', active - page],
    ['Home', 0],
    ['End', count - 1]
  ]);
  const target = steps.get(key);
  return target === undefined || count === 0 ? null : Math.max(0, Math.min(count - 1, target));
}

/** Where a key leads in a row of tabs, which has no ends: after the last comes the first. */
export function keyInTabs(key: string, active: number, count: number): number | null {
  const steps = new Map([
    ['ArrowRight', active + 1],
    ['ArrowLeft', active - 1],
    ['Home', 0],
    ['End', count - 1]
  ]);
  const target = steps.get(key);
  return target === undefined || count === 0 ? null : (target + 2 * count) % count;
}
