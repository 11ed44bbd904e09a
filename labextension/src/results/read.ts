import { IFileRef, ResultFilesApi } from '../api/files';
import { HEAD_BYTES, IMAGE_BYTES, Kind, kindOf } from './paths';

/** What is shown of a file. */
export interface IHead {
  readonly kind: Kind;
  readonly bytes: Uint8Array;
  readonly total: number;
  /** Whether this is only the beginning. */
  readonly cut: boolean;
}

/** A file that can't be shown here; the message says why. */
export class NotShown extends Error {}

/** Read what is shown of a file: all of a small one, whole lines from the beginning of a large one. */
export async function readHead(
  api: ResultFilesApi,
  ref: IFileRef,
  words: { tooBig: string; binary: string },
  signal?: AbortSignal
): Promise<IHead> {
  const kind = kindOf(ref.path);
  if (kind === 'binary' || kind === 'parquet') {
    throw new NotShown(words.binary);
  }
  const most = kind === 'image' ? IMAGE_BYTES : HEAD_BYTES;
  const { bytes, total } = await api.read(ref, 0, most, signal);
  const cut = total > bytes.length;
  if (kind === 'image') {
    if (cut) {
      throw new NotShown(words.tooBig);
    }
    return { kind, bytes, total, cut };
  }
  if (bytes.subarray(0, 8192).includes(0)) {
    throw new NotShown(words.binary);
  }
  return { kind, bytes: cut ? wholeLines(bytes) : bytes, total, cut };
}

/** Drop the part of a line at the end; a single long line loses only a character that was cut in two. */
export function wholeLines(bytes: Uint8Array): Uint8Array {
  const end = bytes.lastIndexOf(10);
  if (end >= 0) {
    return bytes.subarray(0, end + 1);
  }
  let start = bytes.length - 1;
  while (start > 0 && start > bytes.length - 4 && ((bytes[start] ?? 0) & 0xc0) === 0x80) {
    start -= 1;
  }
  const first = bytes[start] ?? 0;
  const length = first >= 0xf0 ? 4 : first >= 0xe0 ? 3 : first >= 0xc0 ? 2 : 1;
  return bytes.length - start < length ? bytes.subarray(0, start) : bytes;
}

export function textOf(bytes: Uint8Array): string {
  return new TextDecoder('utf-8').decode(bytes);
}

/** Base64 in chunks: an argument list of millions of numbers would overflow the stack. */
export function base64Of(bytes: Uint8Array): string {
  let text = '';
  for (let at = 0; at < bytes.length; at += 0x8000) {
    text += String.fromCharCode(...bytes.subarray(at, at + 0x8000));
  }
  return btoa(text);
}

/** Rows of a CSV, RFC 4180, as far as `most` rows. */
export function parseRows(text: string, separator: string, most: number): string[][] {
  const rows: string[][] = [];
  let row: string[] = [];
  let field = '';
  let quoted = false;
  for (let at = 0; at < text.length && rows.length < most; at++) {
    const char = text[at];
    if (quoted) {
      if (char !== '"') {
        field += char;
      } else if (text[at + 1] === '"') {
        field += '"';
        at += 1;
      } else {
        quoted = false;
      }
    } else if (char === '"' && field === '') {
      quoted = true;
    } else if (char === separator) {
      row.push(field);
      field = '';
    } else if (char === '\n') {
      rows.push([...row, field.replace(/\r$/, '')]);
      row = [];
      field = '';
    } else {
      field += char;
    }
  }
  if (rows.length < most && (field !== '' || row.length > 0)) {
    rows.push([...row, field.replace(/\r$/, '')]);
  }
  return rows;
}
