import { IDataEntry } from '../api/data';

/** The kind of what is dragged out of the Data tab: a flag for the line of a cell. */
export const INPUT_MIME = 'application/x-bacalhau-input';

/** Characters that `-i` (comma forms, quotes) or a cell's line ({…}, $) would take for their own. */
const SPECIAL = /[\s,"'`{}$\\]/g;
/** In addresses of these schemes `-i` decodes percent escapes. */
const DECODED = /^(file|s3):\/\//;
/** Sources that put a single file exactly where the target says, so that the target has to be a file's name. */
const EXACT = /^(file|ipfs):\/\//;

/** Whether an entry can be an input: a place as such (`s3://`) can't. */
export function isInput(entry: IDataEntry): boolean {
  return !/^[a-z0-9]+:\/\/$/i.test(entry.URI);
}

/** Whether what a person typed is an address that a node may be asked for. */
export function isAddress(text: string): boolean {
  return /^(s3|ipfs|file):\/\/./.test(text);
}

/** What stands behind `-i`: the address and where the job finds it. */
export function inputOf(entry: IDataEntry): string {
  return csv(`${address(entry.URI)}:${target(entry)}`);
}

/** The whole flag, quoted for the line of a cell and for a shell: `-i 's3://bucket/key:/inputs'`. */
export function flagOf(entry: IDataEntry): string {
  return `-i ${quote(inputOf(entry))}`;
}

/** Quote a word for a POSIX shell. */
export function quote(text: string): string {
  return `'${text.replace(/'/g, `'"'"'`)}'`;
}

function address(uri: string): string {
  if (!DECODED.test(uri)) {
    return uri;
  }
  // The node says file addresses encoded, and keys of buckets as they are.
  const plain = uri.startsWith('s3:') ? uri.replace(/%/g, '%25') : uri;
  return plain.replace(SPECIAL, character => encodeURIComponent(character).replace(/'/g, '%27'));
}

function target(entry: IDataEntry): string {
  if (entry.Kind === 'directory' || !EXACT.test(entry.URI)) {
    return '/inputs';
  }
  // A job may well call it something simpler than its owner did.
  const name = entry.Name.replace(/[^\p{L}\p{N}._+=@~-]+/gu, '_').replace(/^\.{1,2}$/, '');
  return name ? `/inputs/${name}` : '/inputs/data';
}

/** `-i` is one row of a comma separated table. */
function csv(text: string): string {
  return /[",]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
}
