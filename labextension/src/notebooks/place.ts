/** Where text goes in the source of a cell, and how it must be written there. */
export interface IPlace {
  readonly line: number;
  readonly column: number;
  readonly text: string;
}

const CELL = /^\s*%%bacalhau(?:\s|$)/;
/** Behind these words flags may stand; further on they would belong to the program inside the container. */
const FLAGS_FOLLOW =
  /^\s*(?:%%bacalhau\s+(?:docker|wasm)|[%!]\s*bacalhau(?:-jupyter)?\s+(?:docker|wasm)\s+run)(?=\s|$)/;
/** Behind two dashes everything belongs to the program. */
const PROGRAM = /\s--(?=\s|$)/;

/**
 * Where a flag such as `-i …` belongs: on the first line of a `%%bacalhau` cell, wherever the cursor is, and on a
 * `%bacalhau` line where the command takes flags; elsewhere at the cursor. With spaces around it.
 */
export function placeOf(source: string, cursor: { line: number; column: number }, flag: string): IPlace {
  const lines = source.split('\n');
  const line = CELL.test(lines[0] ?? '') ? 0 : Math.min(Math.max(0, cursor.line), lines.length - 1);
  const text = lines[line] ?? '';
  const column = columnOf(text) ?? Math.min(Math.max(0, cursor.column), text.length);
  const [before, after] = [text.slice(0, column), text.slice(column)];
  const left = before === '' || /\s$/.test(before) ? '' : ' ';
  const right = after === '' || /^\s/.test(after) ? '' : ' ';
  return { line, column, text: `${left}${flag}${right}` };
}

function columnOf(text: string): number | null {
  const words = FLAGS_FOLLOW.exec(text)?.[0];
  if (words !== undefined) {
    return words.length;
  }
  if (!CELL.test(text)) {
    return null;
  }
  const dashes = text.search(PROGRAM);
  return dashes >= 0 ? dashes : text.length;
}
