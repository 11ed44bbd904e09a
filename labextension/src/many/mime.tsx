import { ReactWidget } from '@jupyterlab/apputils';
import { IRenderMime } from '@jupyterlab/rendermime-interfaces';
import { Message } from '@lumino/messaging';
import * as React from 'react';
import { BacalhauContext } from '../components/context';
import { CellWatch } from '../renderer/cell';
import { IBacalhau } from '../tokens';
import { ManyOutput } from './ManyOutput';
import { IManyRecord, MANY_MIME, readMany } from './record';

/** Shows the record of many jobs in a cell's output. Whatever the record says is shown as text. */
export class ManyJobsOutput extends ReactWidget implements IRenderMime.IRenderer {
  private record: IManyRecord | null = null;
  private plain = '';
  private readonly cell = new CellWatch(() => this.update());

  constructor(private readonly app: IBacalhau) {
    super();
    this.addClass('jp-Bacalhau');
    this.addClass('jp-Bacalhau-outputWidget');
  }

  renderModel(model: IRenderMime.IMimeModel): Promise<void> {
    this.record = readMany(model.data[MANY_MIME]);
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
      return <pre>{this.plain || this.app.trans.__('This output names no jobs.')}</pre>;
    }
    return (
      <BacalhauContext.Provider value={this.app}>
        <ManyOutput key={this.record.group} record={this.record} followedHere={this.cell.runs} />
      </BacalhauContext.Provider>
    );
  }
}
