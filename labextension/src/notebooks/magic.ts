/** The first line that makes a Python cell a job. */
export const PYTHON_LINE = '%%bacalhau python';
/** The cell that makes the magics known. */
export const LOAD = '%load_ext bacalhau_jupyter';

const MAGIC = /^%%bacalhau(?:[ \t][^\n]*)?(?:\n|$)/;

/** Whether a cell runs as a job. */
export function isJobCell(source: string): boolean {
  return MAGIC.test(source);
}

/** The source of a cell with the magic's line, or without it where it has one; null where another magic owns the cell. */
export function switched(source: string): string | null {
  if (isJobCell(source)) {
    return source.replace(MAGIC, '');
  }
  return /^\s*%%/.test(source) ? null : `${PYTHON_LINE}\n${source}`;
}

/** Whether any of these cells loads the magics. */
export function loadsMagics(sources: readonly string[]): boolean {
  return sources.some(source => /^\s*%(?:load|reload)_ext\s+bacalhau_jupyter\b/m.test(source));
}

/** What a notebook says of its kernel; `ready` comes when there is one. */
interface IKernelPlace {
  readonly ready: Promise<unknown>;
  readonly session?: {
    readonly kernel?: {
      requestExecute(content: { code: string; silent: boolean; store_history: boolean }): unknown;
    } | null;
  } | null;
}

/** Load the magics into the kernel of a notebook, as soon as it has one; loading twice does no harm. */
export async function loadIntoKernel(place: IKernelPlace): Promise<void> {
  await place.ready;
  place.session?.kernel?.requestExecute({ code: LOAD, silent: true, store_history: false });
}
