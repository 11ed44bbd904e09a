/** The place of the match to show: the last one where there are fewer matches than before. */
export function matchAt(matches: readonly number[], index: number): number {
  return Math.min(index, matches.length - 1);
}

/** Where the next match is, or the one before; after the last comes the first. */
export function stepped(matches: readonly number[], index: number, by: 1 | -1): number {
  const { length } = matches;
  return length === 0 ? 0 : (matchAt(matches, index) + by + length) % length;
}
