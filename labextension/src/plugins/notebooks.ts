import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, showErrorMessage } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';
import { ToolbarButton } from '@jupyterlab/ui-components';
import { DisposableDelegate, IDisposable } from '@lumino/disposable';
import { CommandIDs } from '../commands';
import { INPUT_MIME } from '../data/input';
import { bacalhauIcon } from '../icon';
import { colourCells } from '../notebooks/colours';
import { insertCell, insertFlag, loadMagics } from '../notebooks/insert';
import { isJobCell, PYTHON_LINE, switched } from '../notebooks/magic';
import { IBacalhau } from '../tokens';

/** What the panel does to notebooks: inserting and dropping, colours, and the button that makes a cell a job. */
export const notebooks: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:notebooks',
  description: 'Inserts code and inputs into notebooks, and makes their cells jobs.',
  autoStart: true,
  requires: [IBacalhau, INotebookTracker],
  optional: [ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    bacalhau: IBacalhau,
    tracker: INotebookTracker,
    palette: ICommandPalette | null
  ): void => {
    const { trans, host } = bacalhau;
    // Notebook 7 shows its list of files in a page without a notebook: nothing can be inserted there.
    if (PageConfig.getOption('notebookPage') !== 'tree') {
      host.insertText = text => insertText(tracker, text, trans);
      host.insertCode = (code, teaches) => void insertCode(app, tracker, code, teaches ?? false, trans);
    }
    document.addEventListener('drop', event => drop(event, tracker), { capture: true });

    app.commands.addCommand(CommandIDs.switchCell, {
      label: trans.__('Run this cell on Bacalhau'),
      caption: trans.__('Add the line "%1" to the cell, or take it away', PYTHON_LINE),
      icon: bacalhauIcon,
      isEnabled: () => tracker.currentWidget !== null && canSwitch(tracker.currentWidget),
      isToggled: () => tracker.currentWidget !== null && isJob(tracker.currentWidget),
      execute: () => tracker.currentWidget && switchCell(tracker.currentWidget)
    });
    palette?.addItem({ command: CommandIDs.switchCell, category: trans.__('Bacalhau') });
    app.docRegistry.addWidgetExtension('Notebook', {
      createNew: (panel: NotebookPanel) => addButton(panel, trans)
    });
    app.docRegistry.addWidgetExtension('Notebook', { createNew: colourCells });
  }
};

function addButton(panel: NotebookPanel, trans: TranslationBundle): IDisposable {
  const label = trans.__('Run this cell on Bacalhau');
  const button = new ToolbarButton({
    icon: bacalhauIcon,
    tooltip: label,
    pressedTooltip: trans.__('Run this cell in the kernel again'),
    onClick: () => switchCell(panel)
  });
  button.addClass('jp-Bacalhau-switch');
  const update = (): void => {
    button.enabled = canSwitch(panel);
    button.pressed = isJob(panel);
  };
  let watched = panel.content.activeCell?.model ?? null;
  const follow = (): void => {
    watched?.contentChanged.disconnect(update);
    watched = panel.content.activeCell?.model ?? null;
    watched?.contentChanged.connect(update);
    update();
  };
  panel.content.activeCellChanged.connect(follow);
  panel.sessionContext.kernelChanged.connect(update);
  panel.content.modelContentChanged.connect(update);
  if (!panel.toolbar.insertAfter('cellType', 'bacalhau-switch', button)) {
    panel.toolbar.addItem('bacalhau-switch', button);
  }
  follow();
  return new DisposableDelegate(() => button.dispose());
}

function sourceOf(panel: NotebookPanel): string | null {
  const model = panel.content.activeCell?.model;
  return model?.type === 'code' ? model.sharedModel.getSource() : null;
}

function canSwitch(panel: NotebookPanel): boolean {
  const source = sourceOf(panel);
  const info = panel.content.model?.getMetadata('language_info') as { name?: unknown } | undefined;
  const spec = panel.content.model?.getMetadata('kernelspec') as { language?: unknown } | undefined;
  const language = info?.name ?? spec?.language ?? 'python';
  return source !== null && switched(source) !== null && language === 'python';
}

function isJob(panel: NotebookPanel): boolean {
  return isJobCell(sourceOf(panel) ?? '');
}

function switchCell(panel: NotebookPanel): void {
  const source = sourceOf(panel);
  const changed = source === null ? null : switched(source);
  const model = panel.content.activeCell?.model;
  if (changed === null || !model || model.getMetadata('editable') === false) {
    return;
  }
  model.sharedModel.setSource(changed);
  if (isJobCell(changed)) {
    loadMagics(panel);
  }
}

function insertText(tracker: INotebookTracker, text: string, trans: TranslationBundle): boolean {
  const panel = tracker.currentWidget;
  const cell = panel?.content.activeCell;
  if (!panel || !cell) {
    void showErrorMessage(
      trans.__('No notebook is open'),
      trans.__('Open the notebook that the input is for, and choose a cell.')
    );
    return false;
  }
  if (!insertFlag(panel, cell, text)) {
    void showErrorMessage(trans.__('The cell can’t be edited'), trans.__('Choose another cell.'));
    return false;
  }
  return true;
}

async function insertCode(
  app: JupyterFrontEnd,
  tracker: INotebookTracker,
  code: string,
  teaches: boolean,
  trans: TranslationBundle
): Promise<void> {
  const panel = tracker.currentWidget ?? (teaches ? await newNotebook(app) : null);
  if (!panel) {
    void showErrorMessage(
      trans.__('No notebook is open'),
      trans.__('Open the notebook that the code is for.')
    );
    return;
  }
  if (teaches) {
    loadMagics(panel);
  }
  insertCell(panel, code);
}

/** A new notebook with a Python kernel; null where the host opens it somewhere else. */
async function newNotebook(app: JupyterFrontEnd): Promise<NotebookPanel | null> {
  await app.serviceManager.kernelspecs.ready;
  const specs = Object.values(app.serviceManager.kernelspecs.specs?.kernelspecs ?? {});
  const kernelName = specs.find(spec => spec?.language === 'python')?.name;
  const made: unknown = await app.commands.execute('notebook:create-new', { kernelName });
  if (!(made instanceof NotebookPanel)) {
    return null;
  }
  await made.context.ready;
  await made.revealed;
  await made.sessionContext.ready;
  return made;
}

/** What is dragged out of the Data tab goes where it belongs in the cell, not where the mouse happens to be. */
function drop(event: DragEvent, tracker: INotebookTracker): void {
  const flag = event.dataTransfer?.getData(INPUT_MIME);
  const node = event.target instanceof Element ? event.target.closest('.jp-Cell') : null;
  const panel = flag && node ? tracker.find(known => known.content.node.contains(node)) : undefined;
  const cell = panel?.content.widgets.find(known => known.node === node);
  if (!flag || !panel || !cell?.editor) {
    return;
  }
  const { clientX, clientY } = event;
  const point = { left: clientX, right: clientX, top: clientY, bottom: clientY };
  const cursor = cell.editor.getPositionForCoordinate(point) ?? undefined;
  if (insertFlag(panel, cell, flag, cursor)) {
    event.preventDefault();
    event.stopPropagation();
  }
}
