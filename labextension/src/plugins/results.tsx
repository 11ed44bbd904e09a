import { ILabShell, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { MainAreaWidget, ReactWidget } from '@jupyterlab/apputils';
import { DocumentRegistry, IDocumentWidget } from '@jupyterlab/docregistry';
import { IDocumentManager } from '@jupyterlab/docmanager';
import { IDisposable } from '@lumino/disposable';
import { Widget } from '@lumino/widgets';
import * as React from 'react';
import { IFileRef } from '../api/files';
import { CommandIDs, textOf } from '../commands';
import { BacalhauContext } from '../components/context';
import { bacalhauIcon } from '../icon';
import { readable } from '../format/text';
import { ResultsDrive } from '../results/drive';
import { DRIVE, drivePath, isPlain } from '../results/paths';
import { cutText, Preview, words } from '../results/Preview';
import { VIEWERS, viewerOf } from '../results/viewer';
import { IBacalhau } from '../tokens';

/** Opens single files of results in JupyterLab's own viewers. */
export const results: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:results',
  description: 'Opens files of results without downloading the whole.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [IDocumentManager, ILabShell],
  activate: (
    app: JupyterFrontEnd,
    bacalhau: IBacalhau,
    documents: IDocumentManager | null,
    labShell: ILabShell | null
  ): void => {
    const { trans } = bacalhau;
    app.commands.addCommand(CommandIDs.openResult, {
      label: trans.__('Open a file of a result'),
      execute: args => {
        const file = { job: textOf(args.job), execution: textOf(args.execution), path: textOf(args.path) };
        const size = typeof args.size === 'number' ? args.size : 0;
        if (!isPlain(drivePath(file))) {
          throw new Error(trans.__('This name could lead elsewhere; it is not opened.'));
        }
        // Notebook 7 has one document a page; there the preview in the panel does.
        return labShell !== null && documents !== null && open(app, bacalhau, documents, file, size);
      }
    });
    bacalhau.host.openFile = (file, size) => {
      if (labShell === null || documents === null) {
        return false;
      }
      void app.commands.execute(CommandIDs.openResult, { ...file, size });
      return true;
    };
    if (documents === null) {
      return;
    }
    const drive = new ResultsDrive(bacalhau.api.files, app.serviceManager.serverSettings, {
      ...words(trans),
      readOnly: trans.__('Results can’t be changed.'),
      noFile: trans.__('There is no such file in a result.')
    });
    app.serviceManager.contents.addDrive(drive);
    const note = new CutNotes(drive, bacalhau);
    Object.values(VIEWERS).forEach(viewer => documents.registry.addWidgetExtension(viewer, note));
  }
};

function open(
  app: JupyterFrontEnd,
  bacalhau: IBacalhau,
  documents: IDocumentManager,
  file: IFileRef,
  size: number
): true {
  const viewer = viewerOf(file.path, size);
  if (viewer !== null && documents.registry.getWidgetFactory(viewer) !== undefined) {
    documents.openOrReveal(`${DRIVE}:${drivePath(file)}`, viewer);
    return true;
  }
  const content = ReactWidget.create(
    <BacalhauContext.Provider value={bacalhau}>
      <Preview file={file} size={size} />
    </BacalhauContext.Provider>
  );
  content.addClass('jp-Bacalhau');
  content.addClass('jp-Bacalhau-main');
  const widget = new MainAreaWidget({ content });
  widget.id = `bacalhau-file-${drivePath(file)}`;
  widget.title.label = readable(file.path.split('/').pop() ?? '');
  widget.title.icon = bacalhauIcon;
  app.shell.add(widget, 'main');
  app.shell.activateById(widget.id);
  return true;
}

/** Puts a line above a viewer that shows only the beginning of a file. */
class CutNotes implements DocumentRegistry.IWidgetExtension<IDocumentWidget, DocumentRegistry.IModel> {
  constructor(
    private readonly drive: ResultsDrive,
    private readonly app: IBacalhau
  ) {}

  createNew(
    widget: IDocumentWidget,
    context: DocumentRegistry.IContext<DocumentRegistry.IModel>
  ): IDisposable | void {
    const prefix = `${DRIVE}:`;
    if (!context.path.startsWith(prefix)) {
      return;
    }
    const path = context.path.slice(prefix.length);
    void context.ready.then(async () => {
      const cut = this.drive.cut(path);
      if (cut === undefined || widget.isDisposed) {
        return;
      }
      const note = new Widget();
      note.addClass('jp-Bacalhau-cutNote');
      note.node.setAttribute('role', 'status');
      const link = document.createElement('a');
      link.textContent = this.app.trans.__('Download');
      link.href = await this.drive.getDownloadUrl(path);
      link.download = path.split('/').pop() ?? '';
      note.node.append(`${cutText(cut, this.app.trans)} `, link);
      (widget as unknown as MainAreaWidget).contentHeader.addWidget(note);
    });
  }
}
