import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { INotebookTracker, NotebookPanel } from '@jupyterlab/notebook';
import { asApiError } from '../api/errors';
import { pause } from '../events/backoff';
import { adoptions, ICellContent, mayHaveJobs } from '../renderer/adopt';
import { IBacalhau } from '../tokens';

/** Milliseconds before each further try to read the record. */
const AGAIN_MS = [500, 2_000, 10_000];

/** Puts jobs back into the cells that submitted them, where the notebook was not saved since. */
export const adopt: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:adopt',
  description: 'Finds the jobs of cells whose output was never saved.',
  autoStart: true,
  requires: [IBacalhau, INotebookTracker],
  activate: (_: JupyterFrontEnd, bacalhau: IBacalhau, notebooks: INotebookTracker): void => {
    const look = (panel: NotebookPanel): void =>
      void fill(bacalhau, panel).catch(reason => {
        // Without the server extension there is no record, and the core says so where it matters.
        if (asApiError(reason).kind !== 'extension') {
          console.warn('bacalhau: the record of submissions can’t be read', reason);
        }
      });
    notebooks.forEach(look);
    notebooks.widgetAdded.connect((_sender, panel) => look(panel));
  }
};

/** The part of a code cell's model that we use. */
interface ICodeModel {
  readonly type: string;
  readonly id: string;
  readonly executionState?: string;
  readonly sharedModel: { getSource(): string };
  readonly outputs: { toJSON(): unknown[]; fromJSON(outputs: unknown[]): void };
}

async function fill(bacalhau: IBacalhau, panel: NotebookPanel): Promise<void> {
  await panel.context.ready;
  await panel.revealed;
  if (panel.isDisposed || !mayHaveJobs(codeCells(panel).map(cell => cell.sharedModel.getSource()))) {
    return;
  }
  const submissions = await insisted(() => bacalhau.api.submissions.ofNotebook(panel.context.localPath));
  if (panel.isDisposed || submissions.length === 0) {
    return;
  }
  // What runs in this page brings its output itself; meanwhile cells may have come, gone, or been run.
  const idle = codeCells(panel).filter(cell => cell.executionState !== 'running');
  for (const { cell: id, stale, cards } of adoptions(idle.map(contentOf), submissions)) {
    const outputs = idle.find(cell => cell.id === id)?.outputs;
    outputs?.fromJSON([...cards, ...outputs.toJSON().filter((_, index) => !stale.has(index))]);
  }
}

/** Ask again where no answer came: browsers drop requests when a network comes or goes, and nobody else asks. */
async function insisted<T>(ask: () => Promise<T>): Promise<T> {
  for (const delayMs of AGAIN_MS) {
    try {
      return await ask();
    } catch (reason) {
      if (asApiError(reason).kind !== 'network') {
        throw reason;
      }
    }
    await pause(delayMs);
  }
  return ask();
}

/** The code cells of the notebook, also those for which the page has made no widget yet. */
function codeCells(panel: NotebookPanel): ICodeModel[] {
  const cells = panel.context.model.cells;
  return Array.from({ length: cells.length }, (_, index) => cells.get(index) as unknown as ICodeModel).filter(
    model => model.type === 'code'
  );
}

function contentOf(cell: ICodeModel): ICellContent {
  return { id: cell.id, outputs: cell.outputs.toJSON() };
}
