import { IJob } from '../api/types';
import { notebookOf } from '../jobs/title';

/** Where a job was submitted, as its metadata says. */
export interface IOrigin {
  /** The notebook: a path on the machine of the kernel, or below the server's root. */
  readonly notebook: string;
  /** The id of the cell; empty when nobody noted it. */
  readonly cell: string;
  /** Whether `notebook` is a file name alone, because nobody says in which folder it lies. */
  readonly isNameOnly?: boolean;
}

/** Where a job comes from; null when it does not say. */
export function originOf(job: IJob): IOrigin | null {
  const meta = job.Meta ?? {};
  const text = (name: string): string => {
    const value: unknown = meta[name];
    return typeof value === 'string' ? value : '';
  };
  const cell = text('jupyter.org/cell');
  const paths = [text('jupyter.org/session'), text('jupyter.org/notebook')];
  const notebook = paths.find(path => path.endsWith('.ipynb'));
  if (notebook) {
    return { notebook, cell };
  }
  // Where a notebook lies is a hash for the cluster; its file name is what is left then.
  const name = notebookOf(job);
  return name ? { notebook: name, cell, isNameOnly: true } : null;
}

/** Asks the user's own record of submissions; throws when it does not name the job. */
export type AskRecord = (job: string) => Promise<IOrigin>;

/**
 * Where a job comes from. The cluster knows only a name that says nothing; the record on the machine of the Jupyter
 * server says which notebook that is, for the user's own jobs.
 */
export async function findOrigin(job: IJob, ask: AskRecord): Promise<IOrigin | null> {
  const origin = originOf(job);
  const isKnown = origin !== null && !origin.isNameOnly;
  if (isKnown || !job.Meta?.['jupyter.org/session']) {
    return origin;
  }
  try {
    const { notebook, cell } = await ask(job.ID);
    return typeof notebook === 'string' && typeof cell === 'string' ? { notebook, cell } : origin;
  } catch {
    return origin;
  }
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
  const rootPath = root.replace(/\\/g, '/').replace(/\/+$/, '');
  if (!rootPath.startsWith('~')) {
    return plain.startsWith(`${rootPath}/`) ? plain.slice(rootPath.length + 1) : null;
  }
  // Whose home it is nobody says: /home/NAME, /Users/NAME, /root, C:/Users/NAME.
  const inside = /^(?:[A-Za-z]:)?\/(?:home\/[^/]+|Users\/[^/]+|root)\/(.*)$/.exec(plain)?.[1];
  const below = rootPath.slice(2) ? `${rootPath.slice(2)}/` : '';
  if (inside?.startsWith(below)) {
    return inside.slice(below.length);
  }
  const at = below ? plain.indexOf(`/${below}`) : -1;
  return at >= 0 ? plain.slice(at + 1 + below.length) : null;
}
