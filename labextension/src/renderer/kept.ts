/** What JupyterLab wraps an output in, and the output areas that hold such wrappers. */
const CHILD = '.jp-OutputArea-child';
const CARD = '.jp-Bacalhau-outputWidget';
const STREAM = ['stdout', 'stderr'].map(name => `[data-mime-type="application/vnd.jupyter.${name}"]`).join();
const HIDDEN = 'jp-Bacalhau-kept';

/**
 * Hides what a cell kept of a job's output while the card's log shows all of it: the same lines must not stand there
 * twice. Only the view changes; the notebook keeps what it has. Returns what shows it again.
 */
export function hideKept(card: Element): () => void {
  const own = card.closest(CHILD);
  const area = own?.parentElement;
  if (!own || !area) {
    return () => undefined;
  }
  let hidden: readonly Element[] = [];
  const show = (): void => hidden.forEach(output => output.classList.remove(HIDDEN));
  const hide = (): void => {
    show();
    hidden = keptBehind(own);
    hidden.forEach(output => output.classList.add(HIDDEN));
  };
  hide();
  // The outputs of a cell come one after the other when its notebook is opened.
  const observer = new MutationObserver(hide);
  observer.observe(area, { childList: true });
  return () => {
    observer.disconnect();
    show();
  };
}

/** The streams between a card and the next one: each job of a cell has its own. */
function keptBehind(own: Element): Element[] {
  const found: Element[] = [];
  for (let next = own.nextElementSibling; next && !next.querySelector(CARD); next = next.nextElementSibling) {
    if (next.querySelector(STREAM)) {
      found.push(next);
    }
  }
  return found;
}
