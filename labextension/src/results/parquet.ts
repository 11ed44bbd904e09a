import type { ParquetReadOptions } from 'hyparquet';
import { IFileRef, ResultFilesApi } from '../api/files';

/** The first rows of a Parquet file. */
export interface IParquetHead {
  readonly columns: readonly string[];
  readonly types: readonly string[];
  readonly rows: readonly (readonly string[])[];
  readonly rowCount: number;
  readonly columnCount: number;
}

const ROWS = 100;
const COLUMNS = 40;
/** Blocks of a Parquet file must be read whole; more than this is for a download. */
export const MOST_BYTES = 32_000_000;
/** Bytes that one page of a column may have once it is unpacked: its header may claim anything. */
const MOST_BYTES_IN_PAGE = 256_000_000;
const CELL_LIMIT = 500;

export class TooMuch extends Error {}

/** Read schema and first rows with requests for the parts they lie in. The reader is loaded when it is needed. */
export async function parquetHead(
  api: ResultFilesApi,
  ref: IFileRef,
  size: number,
  signal?: AbortSignal
): Promise<IParquetHead> {
  const { parquetMetadataAsync, parquetRead, parquetSchema } = await import('hyparquet');
  const compressors = await decoders();
  let taken = 0;
  const file = {
    byteLength: size,
    slice: async (start: number, end = size): Promise<ArrayBuffer> => {
      const from = start < 0 ? size + start : start;
      taken += end - from;
      if (taken > MOST_BYTES) {
        throw new TooMuch();
      }
      const { bytes } = await api.read(ref, from, end, signal);
      return bytes.slice().buffer;
    }
  };
  const metadata = await parquetMetadataAsync(file);
  const all = parquetSchema(metadata).children;
  const shown = all.slice(0, COLUMNS);
  const columns = shown.map(column => column.element.name);
  const cells: unknown[][] = [];
  await parquetRead({
    file,
    metadata,
    compressors,
    columns,
    rowStart: 0,
    rowEnd: Math.min(ROWS, Number(metadata.num_rows)),
    rowFormat: 'array',
    useOffsetIndex: true,
    onComplete: rows => cells.push(...(rows as unknown[][]))
  });
  return {
    columns,
    types: shown.map(({ element }) => String(element.logical_type?.type ?? element.type ?? '')),
    rows: cells.map(row => row.map(cellText)),
    rowCount: Number(metadata.num_rows),
    columnCount: all.length
  };
}

type Decoders = NonNullable<ParquetReadOptions['compressors']>;

/** Decoders of all common codecs, which refuse pages that claim to be huge. */
async function decoders(): Promise<Decoders> {
  const { compressors } = await import('hyparquet-compressors');
  // The reader has a decoder of Snappy of its own; the one here needs WebAssembly, which a page may forbid.
  const entries = Object.entries(compressors).filter(([name]) => name !== 'SNAPPY');
  return Object.fromEntries(
    entries.map(([name, decode]) => [
      name,
      (input: Uint8Array, length: number) => {
        if (length > MOST_BYTES_IN_PAGE) {
          throw new TooMuch();
        }
        return decode(input, length);
      }
    ])
  );
}

/** A value as text; long ones are cut. */
export function cellText(value: unknown): string {
  if (value === null || value === undefined) {
    return '';
  }
  if (value instanceof Date) {
    return Number.isNaN(value.getTime()) ? '' : value.toISOString();
  }
  if (value instanceof Uint8Array) {
    return `${value.length} bytes`;
  }
  const text =
    typeof value === 'object'
      ? JSON.stringify(value, (_, inner: unknown) => (typeof inner === 'bigint' ? inner.toString() : inner))
      : `${value as string | number | bigint | boolean}`;
  return text.length > CELL_LIMIT ? `${text.slice(0, CELL_LIMIT)}…` : text;
}
