import { IDataEntry, IDataPage } from '../api/data';
import { ApiError } from '../api/errors';
import { isInput } from './input';

/** What is known below one address. */
export interface IBranch {
  readonly entries: readonly IDataEntry[];
  /** The token of the next page; empty after the last. */
  readonly next: string;
  readonly loading: boolean;
  readonly error: ApiError | null;
}

export interface ITree {
  /** By address; the places themselves are at the empty one. */
  readonly branches: ReadonlyMap<string, IBranch>;
  readonly open: ReadonlySet<string>;
  /** Addresses that a person typed: they stand beside the places. */
  readonly typed: readonly IDataEntry[];
}

export type TreeAction =
  | { type: 'loading'; uri: string }
  | { type: 'page'; uri: string; page: IDataPage; first: boolean }
  | { type: 'failed'; uri: string; error: ApiError }
  | { type: 'open'; uri: string }
  | { type: 'close'; uri: string }
  | { type: 'typed'; uri: string }
  | { type: 'reset' };

export const NO_TREE: ITree = { branches: new Map(), open: new Set(), typed: [] };
const NO_BRANCH: IBranch = { entries: [], next: '', loading: false, error: null };

export function reduceTree(tree: ITree, action: TreeAction): ITree {
  const put = (uri: string, change: Partial<IBranch>): ITree => {
    const branches = new Map(tree.branches);
    branches.set(uri, { ...(tree.branches.get(uri) ?? NO_BRANCH), ...change });
    return { ...tree, branches };
  };
  switch (action.type) {
    case 'loading':
      return put(action.uri, { loading: true, error: null });
    case 'page': {
      const before = action.first ? [] : (tree.branches.get(action.uri)?.entries ?? []);
      const seen = new Set(before.map(entry => entry.URI));
      const fresh = (action.page.Entries ?? []).filter(entry => !seen.has(entry.URI));
      return put(action.uri, {
        entries: [...before, ...fresh],
        next: action.page.NextToken ?? '',
        loading: false,
        error: null
      });
    }
    case 'failed':
      return put(action.uri, { loading: false, error: action.error });
    case 'open':
      return { ...tree, open: new Set(tree.open).add(action.uri) };
    case 'close': {
      const open = new Set(tree.open);
      open.delete(action.uri);
      return { ...tree, open };
    }
    case 'typed': {
      if (tree.typed.some(entry => entry.URI === action.uri)) {
        return tree;
      }
      // What it is turns out when it is looked into.
      return { ...tree, typed: [...tree.typed, { Name: action.uri, URI: action.uri, Kind: 'directory' }] };
    }
    case 'reset':
      return NO_TREE;
  }
}

interface IRowBase {
  /** Unique among the rows. */
  readonly key: string;
  /** From 1. */
  readonly level: number;
  /** The address whose branch this belongs to. */
  readonly parent: string;
}

export type TreeRow =
  | (IRowBase & {
      readonly kind: 'entry';
      readonly entry: IDataEntry;
      readonly open: boolean;
      readonly position: number;
      readonly size: number;
    })
  | (IRowBase & { readonly kind: 'more' })
  | (IRowBase & { readonly kind: 'loading' })
  | (IRowBase & { readonly kind: 'empty' })
  | (IRowBase & { readonly kind: 'error'; readonly error: ApiError });

/** The rows to show, from the top. */
export function rowsOf(tree: ITree): TreeRow[] {
  const rows: TreeRow[] = [];
  walk(tree, '', 1, '', rows, new Set());
  return rows;
}

function walk(
  tree: ITree,
  uri: string,
  level: number,
  path: string,
  rows: TreeRow[],
  above: ReadonlySet<string>
): void {
  const branch = tree.branches.get(uri) ?? NO_BRANCH;
  const entries = level === 1 ? [...branch.entries, ...others(tree, branch)] : branch.entries;
  entries.forEach((entry, at) => {
    const key = `${path}\n${entry.URI}`;
    // An address that lists itself (buckets hold such keys) would never end.
    const circular = above.has(entry.URI) || entry.URI === uri;
    const open = tree.open.has(entry.URI) && entry.Kind === 'directory' && !circular;
    rows.push({
      kind: 'entry',
      key,
      level,
      parent: uri,
      entry,
      open,
      position: at + 1,
      size: entries.length
    });
    if (open) {
      walk(tree, entry.URI, level + 1, key, rows, new Set(above).add(uri));
    }
  });
  const base = { level, parent: uri };
  if (branch.error) {
    rows.push({ ...base, kind: 'error', key: `${path}\n error`, error: branch.error });
  } else if (branch.loading) {
    rows.push({ ...base, kind: 'loading', key: `${path}\n loading` });
  } else if (branch.next) {
    rows.push({ ...base, kind: 'more', key: `${path}\n more` });
  } else if (entries.length === 0 && tree.branches.has(uri)) {
    rows.push({ ...base, kind: 'empty', key: `${path}\n empty` });
  }
}

/** What was typed and is no place anyway. */
function others(tree: ITree, branch: IBranch): IDataEntry[] {
  return tree.typed.filter(typed => !branch.entries.some(entry => entry.URI === typed.URI));
}

/** Where an arrow key leads, by the ARIA tree pattern; null where it leads nowhere. */
export function step(
  rows: readonly TreeRow[],
  active: number,
  key: string
): { to: number } | { open: string } | { close: string } | null {
  const row = rows[active];
  if (rows.length === 0) {
    return null;
  }
  const clamp = (index: number): { to: number } => ({ to: Math.max(0, Math.min(rows.length - 1, index)) });
  switch (key) {
    case 'ArrowDown':
      return clamp(active + 1);
    case 'ArrowUp':
      return clamp(active - 1);
    case 'Home':
      return clamp(0);
    case 'End':
      return clamp(rows.length - 1);
    case 'ArrowRight':
      if (row?.kind !== 'entry' || row.entry.Kind !== 'directory') {
        return null;
      }
      return row.open ? clamp(active + 1) : { open: row.entry.URI };
    case 'ArrowLeft': {
      if (row === undefined) {
        return null;
      }
      if (row.kind === 'entry' && row.open) {
        return { close: row.entry.URI };
      }
      for (let at = active - 1; at >= 0; at--) {
        if ((rows[at]?.level ?? 0) < row.level) {
          return { to: at };
        }
      }
      return null;
    }
    default:
      return null;
  }
}

/** The entry of a row that can become an input: not one that the node has just refused. */
export function chosenOf(tree: ITree, row: TreeRow | undefined): IDataEntry | null {
  const usable = row?.kind === 'entry' && isInput(row.entry) && !tree.branches.get(row.entry.URI)?.error;
  return usable ? row.entry : null;
}
