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
  readonly byName: Map<string, IDraft>;
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
    const whole = file.Path.replace(/\/+$/, '');
    const parts = whole.split('/');
    // A path that tries to get out stays one name, so that the tree shows it as it is.
    const tricky = parts.some(part => part === '' || part === '.' || part === '..');
    const names = tricky ? [whole] : [...parts.slice(0, DEEPEST), ...rest(parts)];
    let at = top;
    names.forEach((name, index) => {
      const last = index === names.length - 1;
      let next = at.byName.get(name);
      if (next === undefined) {
        const path = at.path ? `${at.path}/${name}` : name;
        next = draft(name, path, last && file.Kind !== 'directory' ? file : null);
        at.byName.set(name, next);
        at.entries.push(next);
      }
      at = next;
    });
  }
  sort(top);
  return top;
}

function rest(parts: string[]): string[] {
  return parts.length > DEEPEST ? [parts.slice(DEEPEST).join('/')] : [];
}

function draft(name: string, path: string, file: IResultFile | null): IDraft {
  return { name, path, file, entries: [], byName: new Map() };
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
  const found: ILine[] = [];
  for (const branch of top.entries.slice(0, shown)) {
    found.push({ branch, depth, more: 0 });
    if (branch.file === null && open.has(branch.path)) {
      found.push(...lines(branch, open, depth + 1));
    }
  }
  if (shown > 0 && top.entries.length > shown) {
    found.push({ branch: top, depth, more: top.entries.length - shown });
  }
  return found;
}
