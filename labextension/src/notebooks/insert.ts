import { NotebookActions, NotebookPanel } from '@jupyterlab/notebook';
import { LOAD, loadIntoKernel, loadsMagics } from './magic';
import { placeOf } from './place';

type Cell = NonNullable<NotebookPanel['content']['activeCell']>;

/** A place in a cell's text, counted from 0. */
export interface ICursor {
  readonly line: number;
  readonly column: number;
}

/** Put a flag where it belongs in a cell, and go there; false where the cell can't be edited. */
export function insertFlag(panel: NotebookPanel, cell: Cell, flag: string, cursor?: ICursor): boolean {
  const { editor, model } = cell;
  if (!editor || model.getMetadata('editable') === false) {
    return false;
  }
  const source = model.sharedModel.getSource();
  const place = placeOf(source, cursor ?? editor.getCursorPosition(), flag);
  const offset = editor.getOffsetAt({ line: place.line, column: place.column });
  model.sharedModel.updateSource(offset, offset, place.text);
  goTo(panel, cell);
  editor.setCursorPosition({ line: place.line, column: place.column + place.text.length });
  return true;
}

/** Put code into a cell below the active one, or into the active one while it is empty, and go there. */
export function insertCell(panel: NotebookPanel, code: string): void {
  const notebook = panel.content;
  const active = notebook.activeCell;
  const free = active?.model.type === 'code' && active.model.sharedModel.getSource().trim() === '';
  if (!free) {
    NotebookActions.insertBelow(notebook);
  }
  notebook.activeCell?.model.sharedModel.setSource(code);
  if (notebook.activeCell) {
    goTo(panel, notebook.activeCell);
  }
}

/** Make the magics known to a notebook: a cell that loads them, and the kernel as soon as it is there. */
export function loadMagics(panel: NotebookPanel): void {
  const cells = panel.content.model?.sharedModel.cells ?? [];
  if (!loadsMagics(cells.map(cell => cell.getSource()))) {
    panel.content.model?.sharedModel.insertCell(0, { cell_type: 'code', source: LOAD, metadata: {} });
  }
  // Who presses the button wants to run the cell next, and may press it before the kernel is there.
  void loadIntoKernel(panel.sessionContext);
}

function goTo(panel: NotebookPanel, cell: Cell): void {
  const notebook = panel.content;
  notebook.activeCellIndex = notebook.widgets.indexOf(cell);
  notebook.mode = 'edit';
  void notebook.scrollToCell(cell);
  panel.activate();
  cell.editor?.focus();
}
