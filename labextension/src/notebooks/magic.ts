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
