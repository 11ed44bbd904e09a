import { ReactWidget } from '@jupyterlab/apputils';
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import * as React from 'react';
import { Message } from '@lumino/messaging';
import { BacalhauContext } from '../components/context';
import { IBacalhau } from '../tokens';
import { CellWatch } from './cell';
import { Output } from './Output';
import { IRecord, MIME, readRecord } from './record';

/** Shows the record of a job in a cell's output. Whatever the record says is shown as text. */
export class JobOutput extends ReactWidget implements IRenderMime.IRenderer {
  private record: IRecord | null = null;
  private plain = '';
  private readonly cell = new CellWatch(() => this.update());

  constructor(private readonly app: IBacalhau) {
    super();
    this.addClass('jp-Bacalhau');
    this.addClass('jp-Bacalhau-outputWidget');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.record = readRecord(model.data[MIME]);
    const plain = model.data['text/plain'];
    this.plain = Array.isArray(plain) ? plain.join('') : typeof plain === 'string' ? plain : '';
    this.cell.look(this);
    this.update();
    return Promise.resolve();
  }

  protected override onAfterAttach(message: Message): void {
    // Only now it lies in the output area of its cell.
    this.cell.look(this);
    super.onAfterAttach(message);
  }

  protected render(): React.ReactElement {
    if (this.record === null) {
      return <pre>{this.plain || this.app.trans.__('This output has no job ID.')}</pre>;
    }
    return (
      <BacalhauContext.Provider value={this.app}>
        <Output key={this.record.job} record={this.record} followedHere={this.cell.runs} />
      </BacalhauContext.Provider>
    );
  }
}
