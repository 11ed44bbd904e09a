import { IJob } from '../api/types';

/** Where a job was submitted, as its metadata says. */
export interface IOrigin {
  /** The notebook: a path on the machine of the kernel, or below the server's root. */
  readonly notebook: string;
  /** The id of the cell; empty when nobody noted it. */
  readonly cell: string;
}

/** Where a job comes from; null when it does not say. */
export function originOf(job: IJob): IOrigin | null {
  const meta = job.Meta ?? {};
  const text = (name: string): string => {
    const value: unknown = meta[name];
    return typeof value === 'string' ? value : '';
  };
  const notebook = text('jupyter.org/session') || text('jupyter.org/notebook');
  return /\.ipynb$/.test(notebook) ? { notebook, cell: text('jupyter.org/cell') } : null;
}

/**
 * The path of a notebook below the root of the Jupyter server, which tells its root with `~` for the home directory;
 * null when it lies elsewhere.
 */
export function pathBelow(root: string, notebook: string): string | null {
  const plain = notebook.replace(/\\/g, '/');
  if (!plain.startsWith('/') && !/^[A-Za-z]:/.test(plain)) {
    return plain;
  }
  const wanted = root.replace(/\\/g, '/').replace(/\/+$/, '');
  if (!wanted.startsWith('~')) {
    return plain.startsWith(`${wanted}/`) ? plain.slice(wanted.length + 1) : null;
  }
  // Whose home it is nobody says: /home/NAME, /Users/NAME, /root, C:/Users/NAME.
  const inside = /^(?:[A-Za-z]:)?\/(?:home\/[^/]+|Users\/[^/]+|root)\/(.*)$/.exec(plain)?.[1];
  const below = wanted.slice(2) ? `${wanted.slice(2)}/` : '';
  if (inside?.startsWith(below)) {
    return inside.slice(below.length);
  }
  const at = below ? plain.indexOf(`/${below}`) : -1;
  return at >= 0 ? plain.slice(at + 1 + below.length) : null;
}
