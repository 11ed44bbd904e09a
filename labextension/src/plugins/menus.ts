import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Dialog, ICommandPalette, Notification, showDialog } from '@jupyterlab/apputils';
import { PageConfig } from '@jupyterlab/coreutils';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IFileBrowserFactory } from '@jupyterlab/filebrowser';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { json } from '../api/transport';
import { isOver } from '../api/types';
import { CommandIDs, textOf } from '../commands';
import { shortId } from '../format/units';
import { bacalhauIcon } from '../icon';
import { INotebookOrder, NotebookForm } from '../menus/NotebookForm';
import { pathBelow } from '../menus/origin';
import { parametersOf } from '../menus/parameters';
import { isSpecName, readSpec } from '../menus/spec';
import { IBacalhau } from '../tokens';

const FILES = '.jp-DirListing-item[data-isdir="false"]';
const NOTEBOOKS = '.jp-Notebook';
/** How long the executed copy may take to appear after its job has ended. */
const COPY_WAITS_MS = [500, 1000, 2000, 4000, 8000, 16000];

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
    const actions = new Actions(app, bacalhau, documents);
    const chosen = (args: ReadonlyPartialJSONObject, fits: (path: string) => boolean): string => {
      const paths = [
        textOf(args.path),
        ...(args.from === 'files' ? selected(browsers) : []),
        args.from === 'files' ? '' : (notebooks?.currentWidget?.context.path ?? ''),
        args.from === 'files' ? '' : currentPath(app, documents),
        ...(args.from === undefined ? selected(browsers) : [])
      ];
      return paths.find(path => path !== '' && fits(path)) ?? '';
    };
    const isNotebook = (path: string): boolean => path.endsWith('.ipynb');
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
    add(CommandIDs.runSpec, trans.__('Run on Bacalhau'), isSpecName, path => actions.runSpec(path));
    add(CommandIDs.runNotebook, trans.__('Run as job…'), isNotebook, path => actions.runNotebook(path));
    app.contextMenu.addItem({
      command: CommandIDs.runNotebook,
      selector: NOTEBOOKS,
      rank: 8,
      args: { from: 'notebook' }
    });
    if (documents !== null) {
      bacalhau.host.jumpTo = origin => void actions.jump(origin.notebook, origin.cell);
    }
  }
};

function selected(browsers: IFileBrowserFactory | null): string[] {
  const items = browsers?.tracker.currentWidget?.selectedItems();
  const paths = items ? [...items].map(item => item.path) : [];
  // Several files at once would start several jobs; one click starts one.
  return paths.length === 1 ? paths : [];
}

function currentPath(app: JupyterFrontEnd, documents: IDocumentManager | null): string {
  const widget = app.shell.currentWidget;
  return (widget && documents?.contextForWidget(widget)?.path) ?? '';
}

class Actions {
  constructor(
    private readonly app: JupyterFrontEnd,
    private readonly bacalhau: IBacalhau,
    private readonly documents: IDocumentManager | null
  ) {}

  async runSpec(path: string): Promise<void> {
    const { trans, host, api } = this.bacalhau;
    try {
      await this.saved(path);
      const file = await this.app.serviceManager.contents.get(path, {
        type: 'file',
        format: 'text',
        content: true
      });
      const answer = await api.jobs.submit(await readSpec(String(file.content), path));
      const warnings = answer.Warnings ?? [];
      this.tell(
        [trans.__('Job %1 is submitted.', shortId(answer.JobID)), ...warnings].join(' '),
        answer.JobID,
        warnings.length > 0 ? 'warning' : 'success'
      );
    } catch (reason) {
      host.showError(trans.__('%1 could not be run', path), reason);
    }
  }

  async runNotebook(path: string): Promise<void> {
    const { trans, host, api } = this.bacalhau;
    try {
      await this.saved(path);
      const found = await this.app.serviceManager.contents.get(path, { type: 'notebook', content: true });
      const body = new NotebookForm(path, parametersOf(found.content), trans);
      const { button, value } = await showDialog<INotebookOrder>({
        title: trans.__('Run %1 as a job', path.split('/').pop() ?? path),
        body,
        buttons: [
          Dialog.cancelButton({ label: trans.__('Cancel') }),
          Dialog.okButton({ label: trans.__('Run') })
        ]
      });
      if (!button.accept || value === null) {
        return;
      }
      const answer = await json<{ job_id: string; copy: string }>(api.transport, 'POST', 'notebooks', {
        body: value
      });
      this.tell(
        trans.__('%1 runs as job %2; its executed copy comes back beside it.', path, shortId(answer.job_id)),
        answer.job_id
      );
      this.awaitCopy(answer.job_id, answer.copy);
    } catch (reason) {
      host.showError(trans.__('%1 could not be run', path), reason);
    }
  }

  async jump(notebook: string, cell: string): Promise<void> {
    const { trans, host } = this.bacalhau;
    const path = pathBelow(PageConfig.getOption('serverRoot'), notebook) ?? notebook.split('/').pop() ?? '';
    try {
      await this.app.serviceManager.contents.get(path, { content: false });
    } catch {
      host.showError(
        trans.__('The notebook can’t be opened'),
        new Error(trans.__('%1 is not below the root of this Jupyter server.', notebook))
      );
      return;
    }
    const widget = this.documents?.openOrReveal(path) as NotebookPanel | undefined;
    if (widget && cell) {
      await widget.context.ready;
      await widget.revealed;
      widget.setFragment(`#cell-id=${cell}`);
    }
  }

  /** What runs is what is on screen: save an open file first. */
  private async saved(path: string): Promise<void> {
    const widget = this.documents?.findWidget(path, null);
    const context = widget && this.documents?.contextForWidget(widget);
    if (context?.model.dirty && !context.model.readOnly) {
      await context.save();
    }
  }

  private tell(text: string, job: string, type: 'success' | 'warning' = 'success'): void {
    const { trans } = this.bacalhau;
    Notification.emit(text, type, {
      autoClose: 8000,
      actions: [
        {
          label: trans.__('Show'),
          callback: () => void this.app.commands.execute(CommandIDs.showLogs, { job })
        }
      ]
    });
  }

  /** Tell when the executed copy is there. */
  private awaitCopy(job: string, copy: string): void {
    const { sync, trans } = this.bacalhau;
    const release = sync.acquire('active');
    const done = async (): Promise<void> => {
      sync.watchers.delete(watch);
      release();
      for (const wait of COPY_WAITS_MS) {
        await new Promise(resolve => window.setTimeout(resolve, wait));
        const found = await this.app.serviceManager.contents.get(copy, { content: false }).catch(() => null);
        if (found) {
          Notification.success(trans.__('The executed copy is %1.', copy), {
            autoClose: false,
            actions: [
              {
                label: trans.__('Open'),
                callback: () => void this.app.commands.execute('docmanager:open', { path: copy })
              }
            ]
          });
          return;
        }
      }
    };
    const watch = (event: { job: string; state?: string }): void => {
      if (event.job === job && isOver(event.state || undefined)) {
        void done();
      }
    };
    sync.watchers.add(watch);
  }
}
