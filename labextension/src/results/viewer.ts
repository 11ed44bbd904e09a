import { HEAD_BYTES, IMAGE_BYTES, Kind, kindOf } from './paths';

/** Which viewer of JupyterLab's shows what. Never one that renders: results are as trustworthy as their job. */
export const VIEWERS: Partial<Record<Kind, string>> = {
  csv: 'CSVTable',
  tsv: 'TSVTable',
  json: 'JSON',
  image: 'Image',
  text: 'Editor'
};

/** The viewer of JupyterLab's for a file of some bytes; null where only our own preview shows it. */
export function viewerOf(path: string, size: number): string | null {
  const kind = kindOf(path);
  if (kind === 'image') {
    return size > IMAGE_BYTES ? null : (VIEWERS.image ?? null);
  }
  // The beginning of a JSON file is no JSON.
  return (kind === 'json' && size > HEAD_BYTES ? VIEWERS.text : VIEWERS[kind]) ?? null;
}
