import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { TranslationBundle } from '@jupyterlab/translation';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { INotebookOrder } from '../api/notebooks';
import { CommandIDs, textOf } from '../commands';
import { pause } from '../events/backoff';
import { bacalhauIcon } from '../icon';
import { chosenPath, isNotebookName } from '../menus/choice';
import { NotebookForm } from '../menus/NotebookForm';
import { IParameter } from '../menus/parameters';
import { IDesk, INotice, Runs } from '../menus/runs';
import { isSpecName } from '../menus/spec';
import { IBacalhau } from '../tokens';

const FILES = '.jp-DirListing-item[data-isdir="false"]';
const NOTEBOOKS = '.jp-Notebook';
const NOTICE_MS = 8000;

/** *Run on Bacalhau*, *Run as job…*, and the way back from a job to its cell. */
export const menus: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:menus',
  description: 'Runs job specs and notebooks from their context menus.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [IFileBrowserFactory, INotebookTracker, IDocumentManager, ICommandPalette],
  activate: (
    app: JupyterFrontEnd,
    bacalhau: IBacalhau,
    browsers: IFileBrowserFactory | null,
    notebooks: INotebookTracker | null,
    documents: IDocumentManager | null,
    palette: ICommandPalette | null
  ): void => {
    const { trans } = bacalhau;
    const runs = new Runs(bacalhau, new Desk(app, trans, documents, notebooks));
    const chosen = (args: ReadonlyPartialJSONObject, fits: (path: string) => boolean): string =>
      chosenPath(
        args.from,
        {
          named: textOf(args.path),
          selected: selected(browsers),
          notebook: notebooks?.currentWidget?.context.path ?? '',
          current: currentPath(app, documents)
        },
        fits
      );
    const add = (
      id: string,
      label: string,
      fits: (path: string) => boolean,
      run: (path: string) => Promise<void>
    ): void => {
      app.commands.addCommand(id, {
        label,
        icon: bacalhauIcon,
        isEnabled: args => chosen(args, fits) !== '',
        isVisible: args => args.from === undefined || chosen(args, fits) !== '',
        execute: args => run(chosen(args, fits))
      });
      palette?.addItem({ command: id, category: trans.__('Bacalhau') });
      app.contextMenu.addItem({ command: id, selector: FILES, rank: 3.5, args: { from: 'files' } });
    };
    add(CommandIDs.runSpec, trans.__('Run on Bacalhau'), isSpecName, path => runs.runSpec(path));
    add(CommandIDs.runNotebook, trans.__('Run as job…'), isNotebookName, path => runs.runNotebook(path));
    app.contextMenu.addItem({
      command: CommandIDs.runNotebook,
      selector: NOTEBOOKS,
      rank: 8,
      args: { from: 'notebook' }
    });
    if (documents !== null) {
      bacalhau.host.jumpTo = origin => void runs.jump(origin);
    }
  }
};

function selected(browsers: IFileBrowserFactory | null): string[] {
  const items = browsers?.tracker.currentWidget?.selectedItems();
  return items ? [...items].map(item => item.path) : [];
}

function currentPath(app: JupyterFrontEnd, documents: IDocumentManager | null): string {
  const widget = app.shell.currentWidget;
  return (widget && documents?.contextForWidget(widget)?.path) ?? '';
}

/** JupyterLab's files, dialogs and notices. */
class Desk implements IDesk {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly trans: TranslationBundle,
    private readonly documents: IDocumentManager | null,
    private readonly notebooks: INotebookTracker | null
  ) {}

  get root(): string {
    return PageConfig.getOption('serverRoot');
  }

  async save(path: string): Promise<void> {
    const widget = this.documents?.findWidget(path, null);
    const context = widget && this.documents?.contextForWidget(widget);
    if (context?.model.dirty && !context.model.readOnly) {
      await context.save();
    }
  }

  async readText(path: string): Promise<string> {
    const file = await this.app.serviceManager.contents.get(path, {
      type: 'file',
      format: 'text',
      content: true
    });
    return String(file.content);
  }

  async readNotebook(path: string): Promise<unknown> {
    const file = await this.app.serviceManager.contents.get(path, { type: 'notebook', content: true });
    return file.content;
  }

  openNotebooks(): readonly string[] {
    const paths: string[] = [];
    this.notebooks?.forEach(panel => paths.push(panel.context.path));
    return paths;
  }

  exists(path: string): Promise<boolean> {
    return this.app.serviceManager.contents.get(path, { content: false }).then(
      () => true,
      () => false
    );
  }

  async reveal(path: string, cell: string): Promise<boolean> {
    const widget = this.documents?.openOrReveal(path) as NotebookPanel | undefined;
    if (!widget || !cell) {
      return true;
    }
    await widget.context.ready;
    await widget.revealed;
    const isThere = widget.content.widgets.some(known => known.model.id === cell);
    if (isThere) {
      widget.setFragment(`#cell-id=${cell}`);
    }
    return isThere;
  }

  async ask(path: string, parameters: readonly IParameter[]): Promise<INotebookOrder | null> {
    const { trans } = this;
    const { button, value } = await showDialog<INotebookOrder>({
      title: trans.__('Run %1 as a job', path.split('/').pop() ?? path),
      body: new NotebookForm(path, parameters, trans),
      buttons: [
        Dialog.cancelButton({ label: trans.__('Cancel') }),
        Dialog.okButton({ label: trans.__('Run') })
      ]
    });
    return button.accept ? value : null;
  }

  notify({ text, kind, stays, job, file }: INotice): void {
    const { trans } = this;
    const { commands } = this.app;
    const show = {
      label: trans.__('Show'),
      callback: () => void commands.execute(CommandIDs.showLogs, { job })
    };
    const open = {
      label: trans.__('Open'),
      callback: () => void commands.execute('docmanager:open', { path: file })
    };
    Notification.emit(text, kind, {
      autoClose: stays ? false : NOTICE_MS,
      actions: [...(job ? [show] : []), ...(file ? [open] : [])]
    });
  }

  wait(ms: number): Promise<void> {
    return pause(ms);
  }
}
