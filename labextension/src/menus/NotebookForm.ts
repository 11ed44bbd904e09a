import { Dialog } from '@jupyterlab/apputils';
import { Widget } from '@lumino/widgets';
import { INotebookOrder } from '../api/notebooks';
import { changed, IParameter } from './parameters';

interface ITranslate {
  __(text: string, ...args: unknown[]): string;
}

/** The fields of the dialog *Run as job…*. */
export class NotebookForm extends Widget implements Dialog.IBodyWidget<INotebookOrder> {
  private readonly fields = new Map<string, HTMLInputElement>();

  constructor(
    private readonly path: string,
    private readonly parameters: readonly IParameter[],
    trans: ITranslate
  ) {
    super();
    this.addClass('jp-Bacalhau-form');
    if (parameters.length > 0) {
      this.heading(trans.__('Parameters'));
      parameters.forEach(
        ({ name, text }, index) => (this.field(`parameter ${index}`, name, '').value = text)
      );
    }
    this.heading(trans.__('Where it runs'));
    this.field('image', trans.__('Image'), trans.__('this environment'));
    this.field('cpu', trans.__('CPU'), '1');
    this.field('memory', trans.__('Memory'), '2gb');
    this.field('gpu', trans.__('GPU'), '0');
    this.field('timeout', trans.__('Timeout (seconds)'), trans.__('none')).inputMode = 'numeric';
    this.heading(trans.__('Packages'));
    this.field('pip', trans.__('Names and versions'), 'polars>=1 seaborn');
    this.field('requirements', trans.__('File beside the notebook'), 'requirements.txt');
  }

  getValue(): INotebookOrder {
    const text = (id: string): string => this.fields.get(id)?.value.trim() ?? '';
    return {
      path: this.path,
      parameters: changed(
        this.parameters,
        this.parameters.map((_, index) => text(`parameter ${index}`))
      ),
      image: text('image'),
      resources: { cpu: text('cpu'), memory: text('memory'), gpu: text('gpu') },
      timeout: Number(text('timeout') || 0),
      // A comma with a space after it separates, too; one without belongs to the versions.
      pip: text('pip')
        .split(/,?\s+/)
        .filter(word => word !== ''),
      requirements: text('requirements')
    };
  }

  private heading(text: string): void {
    const heading = document.createElement('h3');
    heading.textContent = text;
    this.node.append(heading);
  }

  private field(id: string, label: string, placeholder: string): HTMLInputElement {
    const row = document.createElement('label');
    const name = document.createElement('span');
    name.textContent = label;
    const input = document.createElement('input');
    input.className = 'jp-mod-styled';
    input.placeholder = placeholder;
    input.autocomplete = 'off';
    input.spellcheck = false;
    row.append(name, input);
    this.node.append(row);
    this.fields.set(id, input);
    return input;
  }
}
