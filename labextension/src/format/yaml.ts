import { readable, readableLines } from './text';

/**
 * Write plain JSON data as YAML. Only what a spec is made of: maps, lists, text, numbers, booleans, null. Text that
 * could be read as something else is quoted.
 */
export function toYaml(value: unknown): string {
  return write(value, 0).replace(/^\n/, '') + '\n';
}

const PLAIN = /^[A-Za-z_/.][A-Za-z0-9_/.+@-]*(?: [A-Za-z0-9_/.+@-]+)*$/;
const OTHER_TYPE = /^(?:true|false|yes|no|on|off|y|n|null|~|[-+.]?(?:inf|nan)|\.(?:inf|nan)|\.?\d.*)$/i;

function write(value: unknown, depth: number): string {
  if (Array.isArray(value)) {
    return value.length === 0 ? '[]' : value.map(item => listItem(item, depth)).join('');
  }
  if (typeof value === 'object' && value !== null) {
    const members = Object.entries(value).filter(([, member]) => member !== undefined);
    return members.length === 0 ? '{}' : members.map(([key, item]) => member(key, item, depth)).join('');
  }
  return scalar(value, depth);
}

function listItem(item: unknown, depth: number): string {
  const text = write(item, depth + 1);
  // A map or list begins on the line of the dash.
  const inside = text.startsWith('\n') ? text.trimStart() : text;
  return `\n${'  '.repeat(depth)}- ${inside}`;
}

function member(key: string, item: unknown, depth: number): string {
  const nested = Array.isArray(item) ? depth : depth + 1;
  const text = write(item, nested);
  return `\n${'  '.repeat(depth)}${quoted(key)}:${text.startsWith('\n') ? '' : ' '}${text}`;
}

function scalar(value: unknown, depth: number): string {
  if (typeof value !== 'string') {
    return value === null || value === undefined ? 'null' : JSON.stringify(value);
  }
  // A block keeps scripts readable; it can't hold odd characters or a first line that is indented.
  if (
    value.includes('\n') &&
    /^[^\s]/.test(value) &&
    !/[^\n\t\x20-\x7e\u00a0-\ud7ff\ue000-\ufffd]/.test(value) &&
    readableLines(value) === value
  ) {
    const keep = value.endsWith('\n\n') ? '+' : value.endsWith('\n') ? '' : '-';
    const indent = '  '.repeat(Math.max(1, depth));
    const lines = value.replace(/\n$/, '').split('\n');
    return `|${keep}\n${lines.map(line => (line ? indent + line : '')).join('\n')}`;
  }
  return quoted(value);
}

function quoted(text: string): string {
  return PLAIN.test(text) && !OTHER_TYPE.test(text) ? text : readable(JSON.stringify(text));
}
