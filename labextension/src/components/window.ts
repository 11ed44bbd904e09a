/** So many rows before and after those in view are drawn, too. */
const OVERSCAN = 6;

/** The rows to draw of a list that is scrolled to `firstRow`: from `first` to before `last`. */
export function rowsInView(
  firstRow: number,
  count: number,
  height: number,
  rowHeight: number
): { first: number; last: number } {
  const first = Math.max(0, firstRow - OVERSCAN);
  const last = Math.min(count, firstRow + 1 + Math.ceil(height / rowHeight) + OVERSCAN);
  return { first, last };
}

/** How far a box must be scrolled, in pixels, so that a row is in view: as little as possible. */
export function scrolledTo(index: number, rowHeight: number, top: number, height: number): number {
  if (index * rowHeight < top) {
    return index * rowHeight;
  }
  return Math.max(top, (index + 1) * rowHeight - height);
}
