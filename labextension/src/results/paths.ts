import { IFileRef } from '../api/files';

/** The name of the read-only drive that shows results to JupyterLab's own viewers. */
export const DRIVE = 'BacalhauResults';

/** Bytes that are read of a text; the rest is for a download. */
export const HEAD_BYTES = 1_000_000;
/** Larger images are for a download. */
export const IMAGE_BYTES = 20_000_000;

export type Kind = 'csv' | 'tsv' | 'json' | 'image' | 'text' | 'parquet' | 'binary';

const KINDS = new Map<string, Kind>(
  Object.entries({
    csv: 'csv',
    tsv: 'tsv',
    tab: 'tsv',
    json: 'json',
    geojson: 'json',
    parquet: 'parquet',
    pq: 'parquet',
    png: 'image',
    jpg: 'image',
    jpeg: 'image',
    gif: 'image',
    webp: 'image',
    bmp: 'image',
    svg: 'image'
  })
);
const BINARY = new Set(
  'zip gz tgz bz2 xz zst 7z tar whl jar npy npz pkl pickle pt pth onnx h5 hdf5 arrow feather db sqlite so exe wasm pdf bin mp3 mp4 mov avi mkv wav'.split(
    ' '
  )
);

/** How a file is shown, as its name says. What has no known ending is taken for text. */
export function kindOf(path: string): Kind {
  const name = path.slice(path.lastIndexOf('/') + 1);
  const ending = endingOf(name);
  return KINDS.get(ending) ?? (BINARY.has(ending) ? 'binary' : 'text');
}

/** The media type of an image, as its name says. */
export function imageType(path: string): string {
  const ending = endingOf(path);
  return ending === 'svg' ? 'image/svg+xml' : ending === 'jpg' ? 'image/jpeg' : `image/${ending}`;
}

function endingOf(name: string): string {
  return name.includes('.') ? name.slice(name.lastIndexOf('.') + 1).toLowerCase() : '';
}

// Control characters, and those that turn the direction of text around: both make a name look like another.
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u200e\u200f\u202a-\u202e\u2066-\u2069\ufeff]/;

/** Whether a path stays inside its result, whatever else is in its names. */
export function isInside(path: string): boolean {
  return (
    path.length > 0 &&
    path.length <= 4096 &&
    path.split('/').every(part => part.split('\\').every(piece => !/^[. ]*$/.test(piece)))
  );
}

/** Whether a path stays inside its result and reads as what it is. */
export function isPlain(path: string): boolean {
  return isInside(path) && !HOSTILE.test(path) && !path.includes('\\');
}

/** The path of a file on the drive, without the drive's name. */
export function drivePath(ref: IFileRef): string {
  return `${ref.job}/${ref.execution}/${ref.path}`;
}

/** Read a path on the drive; null when it names no file that may be opened. */
export function parseDrivePath(path: string): IFileRef | null {
  const plain = path.replace(/^\//, '');
  const [job, execution, ...rest] = plain.split('/');
  if (!isPlain(plain) || !job || !execution || rest.length === 0) {
    return null;
  }
  return { job, execution, path: rest.join('/') };
}
