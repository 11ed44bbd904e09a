/** Controls, format marks (directions, zero width), half characters, line and paragraph ends. */
const INVISIBLE = /[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const INVISIBLE_IN_LINE = /(?![\n\t])[\p{Cc}\p{Cf}\p{Cs}\p{Zl}\p{Zp}]/gu;
const NAMED: Record<string, string> = { '\n': '\\n', '\r': '\\r', '\t': '\\t' };

/**
 * What others wrote, with everything invisible spelled out (`\u202e`, `\x1b`, `\n`), so that a name can't turn itself
 * around, or look like another one. Every view shows names, labels and reasons through this; Python's side has the
 * same (`models/text.py`).
 */
export function readable(text: string): string {
  return asText(text).replace(INVISIBLE, spelled);
}

/** The same for a message, which may have several lines. */
export function readableLines(text: string): string {
  return asText(text).replace(INVISIBLE_IN_LINE, spelled);
}

/** What others wrote may be anything that JSON holds, whatever its type says here: no view may fail because of it. */
function asText(value: unknown): string {
  return typeof value === 'string' ? value : value === undefined ? '' : JSON.stringify(value);
}

function spelled(character: string): string {
  const number = character.codePointAt(0) ?? 0;
  const hex = number.toString(16);
  return (
    NAMED[character] ??
    (number < 0x100
      ? `\\x${hex.padStart(2, '0')}`
      : number < 0x10000
        ? `\\u${hex.padStart(4, '0')}`
        : `\\U${hex.padStart(8, '0')}`)
  );
}
