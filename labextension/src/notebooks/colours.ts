import { NotebookPanel } from '@jupyterlab/notebook';
import { DisposableDelegate, IDisposable } from '@lumino/disposable';

type CellModel = NonNullable<NotebookPanel['content']['activeCell']>['model'];

const MIME_TYPES: Record<string, string> = {
  sql: 'text/x-sql',
  sh: 'text/x-sh',
  bash: 'text/x-sh',
  docker: 'text/x-sh',
  job: 'text/x-yaml',
  wasm: 'text/webassembly'
};
const LONGEST_HEAD = 1000;

/** The type of what stands below a cell's magic; null where the cell is Python, or no job. */
export function bodyType(source: string): string | null {
  const [line = '', below = ''] = source.slice(0, LONGEST_HEAD).split('\n', 2);
  const words = /^%%bacalhau(?:[ \t]+(\S.*))?$/.exec(line.trimEnd());
  if (!words) {
    return null;
  }
  const language = words[1] ?? 'sh';
  const name = language.startsWith('-') ? 'sh' : (language.split(/\s/, 1)[0] ?? '');
  const isPython = /\s--\s+python/.test(language) || /^#!.*python/.test(below);
  return isPython ? null : (MIME_TYPES[name] ?? null);
}

/** Colours the cells of a notebook by the language of their bodies. */
export function colourCells(panel: NotebookPanel): IDisposable {
  const watched = new Map<CellModel, () => void>();

  const watch = (cell: CellModel): void => {
    if (cell.type !== 'code' || watched.has(cell)) {
      return;
    }
    // What the notebook itself chose, by its kernel; it chooses again when the kernel says what it speaks.
    let usual = cell.mimeType;
    let own = '';
    const update = (): void => {
      if (cell.mimeType !== own) {
        usual = cell.mimeType;
      }
      own = bodyType(cell.sharedModel.getSource()) ?? '';
      const type = own || usual;
      if (cell.mimeType !== type) {
        cell.mimeType = type;
      }
    };
    cell.contentChanged.connect(update);
    cell.mimeTypeChanged.connect(update);
    watched.set(cell, update);
    update();
  };

  const watchAll = (): void => {
    const cells = panel.content.model?.cells;
    const present = new Set<CellModel>(cells ?? []);
    for (const [cell, update] of watched) {
      if (!present.has(cell)) {
        cell.contentChanged.disconnect(update);
        cell.mimeTypeChanged.disconnect(update);
        watched.delete(cell);
      }
    }
    present.forEach(watch);
  };
  // The list of cells says so before their widgets are there; the content's signal comes after both.
  panel.content.modelContentChanged.connect(watchAll);
  void panel.context.ready.then(watchAll);
  return new DisposableDelegate(() => {
    panel.content.modelContentChanged.disconnect(watchAll);
  });
}
