import { NotebookForm } from './NotebookForm';

const trans = { __: (text: string) => text };

function filled(values: Record<string, string>): NotebookForm {
  const form = new NotebookForm('a.ipynb', [], trans);
  form.node.querySelectorAll('label').forEach(row => {
    const input = row.querySelector('input');
    const value = values[row.textContent ?? ''];
    if (input && value !== undefined) {
      input.value = value;
    }
  });
  return form;
}

describe('the dialog of a notebook as a job', () => {
  it('asks for no packages unless they are named', () => {
    expect(filled({}).getValue()).toMatchObject({ pip: [], requirements: '', timeout: 0 });
  });

  it.each([
    ['polars', ['polars']],
    [' polars>=1,<2  seaborn ', ['polars>=1,<2', 'seaborn']],
    ['polars>=1, seaborn[stats]', ['polars>=1', 'seaborn[stats]']]
  ])('takes the packages of %j apart', (text, pip) =>
    expect(filled({ 'Names and versions': text }).getValue().pip).toEqual(pip)
  );

  it('names a requirements file', () => {
    const form = filled({ 'File beside the notebook': ' deps/requirements.txt ' });
    expect(form.getValue().requirements).toBe('deps/requirements.txt');
  });
});
