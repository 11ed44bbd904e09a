import { IResultFile } from '../api/files';

/** An entry of the tree: a directory with its entries, or a file. */
export interface IBranch {
  readonly name: string;
  /** From the top of the result. */
  readonly path: string;
  readonly file: IResultFile | null;
  readonly entries: IBranch[];
}

interface IDraft extends IBranch {
  /** Its directories: a bucket may hold a file `a` beside a directory `a`. */
  readonly directories: Map<string, IDraft>;
}

/** Deeper paths are shown flat at this depth: names come from jobs. */
const DEEPEST = 40;

/** Make a tree of the paths of a listing: directories first, then by name. */
export function treeOf(files: readonly IResultFile[]): IBranch {
  const top = draft('', '', null);
  for (const file of files) {
    if (typeof file?.Path !== 'string' || file.Path === '') {
      continue;
    }
    const whole = withoutSlashes(file.Path) || file.Path;
    const parts = whole.split('/');
    // A path that tries to get out stays one name, so that the tree shows it as it is.
    const tricky = parts.some(part => part === '' || part === '.' || part === '..');
    const names = tricky ? [whole] : [...parts.slice(0, DEEPEST), ...rest(parts)];
    let at = top;
    names.forEach((name, index) => {
      const path = at.path ? `${at.path}/${name}` : name;
      if (index === names.length - 1 && file.Kind !== 'directory') {
        at.entries.push(draft(name, path, file));
        return;
      }
      let next = at.directories.get(name);
      if (next === undefined) {
        next = draft(name, path, null);
        at.directories.set(name, next);
        at.entries.push(next);
      }
      at = next;
    });
  }
  sort(top);
  return top;
}

function withoutSlashes(path: string): string {
  let end = path.length;
  while (path[end - 1] === '/') {
    end -= 1;
  }
  return path.slice(0, end);
}

function rest(parts: string[]): string[] {
  return parts.length > DEEPEST ? [parts.slice(DEEPEST).join('/')] : [];
}

function draft(name: string, path: string, file: IResultFile | null): IDraft {
  return { name, path, file, entries: [], directories: new Map() };
}

function sort(branch: IBranch): void {
  branch.entries.sort(
    (a, b) => Number(a.file !== null) - Number(b.file !== null) || (a.name < b.name ? -1 : 1)
  );
  branch.entries.forEach(sort);
}

/** One line of the tree on screen. */
export interface ILine {
  readonly branch: IBranch;
  readonly depth: number;
  /** Entries of this directory that are not shown yet; the line is then the one that shows more. */
  readonly more: number;
}

export const STEP = 200;

/** The lines that are on screen: `open` names the open directories, and how many of their entries are shown. */
export function lines(top: IBranch, open: ReadonlyMap<string, number>, depth = 0): ILine[] {
  const shown = open.get(top.path) ?? (depth === 0 ? STEP : 0);
  const visibleLines: ILine[] = [];
  for (const branch of top.entries.slice(0, shown)) {
    visibleLines.push({ branch, depth, more: 0 });
    if (branch.file === null && open.has(branch.path)) {
      visibleLines.push(...lines(branch, open, depth + 1));
    }
  }
  if (shown > 0 && top.entries.length > shown) {
    visibleLines.push({ branch: top, depth, more: top.entries.length - shown });
  }
  return visibleLines;
}

/** Directories that are open at first: those on the way to the first choice there is. */
export function openAtFirst(top: IBranch): ReadonlyMap<string, number> {
  const opened = new Map([[top.path, STEP]]);
  let at = top;
  while (at.entries.length === 1 && at.entries[0]?.file === null) {
    at = at.entries[0];
    opened.set(at.path, STEP);
  }
  const outputs = top.entries.find(entry => entry.name === 'outputs' && entry.file === null);
  return outputs ? opened.set(outputs.path, STEP) : opened;
}

/** Open a directory, or close it. */
export function toggled(open: ReadonlyMap<string, number>, branch: IBranch): ReadonlyMap<string, number> {
  const next = new Map(open);
  if (!next.delete(branch.path)) {
    next.set(branch.path, STEP);
  }
  return next;
}

/** Show the next entries of the directory that a line stands for. */
export function extended(open: ReadonlyMap<string, number>, line: ILine): ReadonlyMap<string, number> {
  const { branch, more } = line;
  return new Map(open).set(branch.path, branch.entries.length - more + STEP);
}

/** What a key does on a line of the tree, by the ARIA pattern; null where it does nothing. */
export function step(
  shown: readonly ILine[],
  open: ReadonlyMap<string, number>,
  active: number,
  key: string
): { to: number } | { toggle: IBranch } | null {
  const line = shown[active];
  if (line === undefined) {
    return null;
  }
  const to = (index: number): { to: number } => ({ to: Math.max(0, Math.min(shown.length - 1, index)) });
  const isDirectory = line.more === 0 && line.branch.file === null;
  const isOpen = isDirectory && open.has(line.branch.path);
  switch (key) {
    case 'ArrowDown':
      return to(active + 1);
    case 'ArrowUp':
      return to(active - 1);
    case 'Home':
      return to(0);
    case 'End':
      return to(shown.length - 1);
    case 'ArrowRight':
      return isDirectory && !isOpen ? { toggle: line.branch } : to(active + 1);
    case 'ArrowLeft':
      return isOpen ? { toggle: line.branch } : to(parentOf(shown, active));
    default:
      return null;
  }
}

/** The line of the directory that a line lies in; the line itself at the top. */
export function parentOf(shown: readonly ILine[], index: number): number {
  const depth = shown[index]?.depth ?? 0;
  for (let at = index - 1; at >= 0; at--) {
    if ((shown[at]?.depth ?? 0) < depth) {
      return at;
    }
  }
  return index;
}
