/** A parameter of a notebook: its name, and the Python text that its cell gives it. */
export interface IParameter {
  readonly name: string;
  readonly text: string;
}

const ASSIGNMENT = /^([A-Za-z_]\w*)\s*(?::[^=]+)?=(?!=)/;

/** The parameters of a notebook: the assignments in its cell with the tag `parameters`. */
export function parametersOf(notebook: unknown): IParameter[] {
  const cells = (notebook as { cells?: unknown })?.cells;
  const cell = (Array.isArray(cells) ? (cells as unknown[]) : []).find(isParametersCell);
  const source = (cell as { source?: unknown } | undefined)?.source;
  const text = Array.isArray(source) ? source.join('') : typeof source === 'string' ? source : '';
  return text.split('\n').flatMap(line => {
    const match = ASSIGNMENT.exec(line);
    const value = match ? line.slice(match[0].length).trim() : '';
    return match && value ? [{ name: match[1] ?? '', text: withoutComment(value) }] : [];
  });
}

function isParametersCell(cell: unknown): boolean {
  const tags = (cell as { metadata?: { tags?: unknown } } | null)?.metadata?.tags;
  return Array.isArray(tags) && tags.includes('parameters');
}

function withoutComment(text: string): string {
  const match = /^((?:"[^"]*"|'[^']*'|[^"'#])*)#/.exec(text);
  return (match?.[1] ?? text).trim();
}

const NAMES = new Map<string, unknown>([
  ['True', true],
  ['False', false],
  ['None', null]
]);

/** What a person typed, as a value: JSON, Python's names and strings, else the text itself. */
export function typed(text: string): unknown {
  if (NAMES.has(text)) {
    return NAMES.get(text);
  }
  const quoted = /^'([^'\\]*)'$/.exec(text);
  if (quoted) {
    return quoted[1];
  }
  try {
    return JSON.parse(text) as unknown;
  } catch {
    return text;
  }
}

/** The values that differ from what the notebook says itself. */
export function changed(before: readonly IParameter[], texts: readonly string[]): Record<string, unknown> {
  const pairs = before
    .map((parameter, index) => [parameter, (texts[index] ?? '').trim()] as const)
    .filter(([parameter, text]) => text !== '' && text !== parameter.text)
    .map(([parameter, text]) => [parameter.name, typed(text)] as const);
  return Object.fromEntries(pairs);
}
