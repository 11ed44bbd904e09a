import { asApiError } from '../api/errors';

/** Ask or tell something in front of the page; resolves with whether it was accepted. */
function open(title: string, lines: readonly string[], accept: string, cancel: string): Promise<boolean> {
  const dialog = document.createElement('dialog');
  dialog.className = 'jp-Bacalhau-dialog';
  const heading = document.createElement('h2');
  heading.textContent = title;
  heading.id = 'jp-bacalhau-dialog-title';
  dialog.setAttribute('aria-labelledby', heading.id);
  dialog.append(heading, ...lines.filter(Boolean).map(paragraph));
  const bar = document.createElement('div');
  bar.className = 'jp-Bacalhau-dialog-bar';
  dialog.append(bar);
  return new Promise(resolve => {
    const button = (label: string, value: boolean): HTMLButtonElement => {
      const made = document.createElement('button');
      made.type = 'button';
      made.textContent = label;
      made.onclick = () => {
        resolve(value);
        dialog.close();
      };
      bar.append(made);
      return made;
    };
    if (cancel) {
      button(cancel, false);
    }
    const first = button(accept, true);
    dialog.onclose = () => {
      resolve(false);
      dialog.remove();
    };
    document.body.append(dialog);
    dialog.showModal();
    first.focus();
  });
}

function paragraph(text: string): HTMLElement {
  const made = document.createElement('p');
  made.textContent = text;
  return made;
}

export const confirm = (title: string, text: string, accept: string): Promise<boolean> =>
  open(title, [text], accept, 'Cancel');

export function showError(title: string, reason: unknown): void {
  const error = asApiError(reason);
  void open(title, [error.message, error.hint], 'OK', '');
}
