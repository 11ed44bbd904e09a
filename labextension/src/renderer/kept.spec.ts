import { hideKept } from './kept';

type Kind = 'card' | 'stdout' | 'stderr' | 'picture';

const MIME: Record<Exclude<Kind, 'card'>, string> = {
  stdout: 'application/vnd.jupyter.stdout',
  stderr: 'application/vnd.jupyter.stderr',
  picture: 'image/png'
};

const element = (className: string, ...children: Element[]): HTMLElement => {
  const node = document.createElement('div');
  node.className = className;
  node.append(...children);
  return node;
};

function inside(kind: Kind): Element {
  if (kind === 'card') {
    return element('jp-Bacalhau-outputWidget', element('jp-Bacalhau-output'));
  }
  const node = element('');
  node.dataset.mimeType = MIME[kind];
  node.textContent = 'tick';
  return node;
}

const output = (kind: Kind): Element => element('jp-OutputArea-child', inside(kind));

function area(...kinds: Kind[]): HTMLElement {
  const made = document.createElement('div');
  made.append(...kinds.map(output));
  return made;
}

const cardOf = (made: Element, number = 0): Element =>
  made.querySelectorAll('.jp-Bacalhau-output')[number] as Element;
const hidden = (made: Element): boolean[] =>
  [...made.children].map(child => child.classList.contains('jp-Bacalhau-kept'));

describe('what a cell kept of the output of a job', () => {
  it('is hidden while the log of its card shows all of it, and comes back', () => {
    const made = area('stdout', 'card', 'stdout', 'picture', 'stderr');
    const show = hideKept(cardOf(made));
    expect(hidden(made)).toEqual([false, false, true, false, true]);
    show();
    expect(hidden(made)).toEqual([false, false, false, false, false]);
  });

  it('stays where it belongs to the card of another job', () => {
    const made = area('card', 'stdout', 'card', 'stdout');
    hideKept(cardOf(made));
    expect(hidden(made)).toEqual([false, true, false, false]);
    hideKept(cardOf(made, 1));
    expect(hidden(made)).toEqual([false, true, false, true]);
  });

  it('is hidden, too, where it comes only after the card', async () => {
    const made = area('card');
    const show = hideKept(cardOf(made));
    made.append(output('stdout'));
    await Promise.resolve();
    expect(hidden(made)).toEqual([false, true]);
    show();
    made.append(output('stdout'));
    await Promise.resolve();
    expect(hidden(made)).toEqual([false, false, false]);
  });

  it('is nothing around a card that lies in no output area', () =>
    expect(hideKept(document.createElement('div'))).not.toThrow());
});
