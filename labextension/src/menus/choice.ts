/** The paths that a menu entry may be meant for. */
export interface IPaths {
  /** The path that the command's caller names; empty without one. */
  readonly named: string;
  /** The files that are selected in the file browser. */
  readonly selected: readonly string[];
  /** The notebook that is open, or was last; empty without one. */
  readonly notebook: string;
  /** The document in front; empty without one. */
  readonly current: string;
}

/**
 * The file that a command runs: the first that fits; empty without one.
 *
 * The file browser's menu means what is selected there, a notebook's menu means what is open, and the command palette
 * (no `from`) means what is open before what is selected.
 */
export function chosenPath(from: unknown, paths: IPaths, fits: (path: string) => boolean): string {
  // Several files at once would start several jobs; one click starts one.
  const selected = paths.selected.length === 1 ? paths.selected : [];
  const open = [paths.notebook, paths.current];
  const inOrder = from === 'files' ? selected : from === undefined ? [...open, ...selected] : open;
  return [paths.named, ...inOrder].find(path => path !== '' && fits(path)) ?? '';
}

/** Whether a file is a notebook, as its name says. */
export function isNotebookName(path: string): boolean {
  return path.endsWith('.ipynb');
}
