import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { IRenderMimeRegistry } from '@jupyterlab/rendermime';
import { ManyJobsOutput } from '../many/mime';
import { MANY_MIME } from '../many/record';
import { JobOutput } from '../renderer/mime';
import { MIME } from '../renderer/record';
import { IBacalhau } from '../tokens';

/** Ahead of HTML and text, behind widgets. */
const RANK = 30;

/** Shows the outputs of Bacalhau cells. */
export const renderer: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:renderer',
  description: 'Shows the jobs of cells, live, also after a restart.',
  autoStart: true,
  requires: [IBacalhau, IRenderMimeRegistry],
  activate: (_: JupyterFrontEnd, bacalhau: IBacalhau, rendermime: IRenderMimeRegistry): void => {
    // Safe: a record is data that is shown as text, also in notebooks that nobody trusts.
    rendermime.addFactory(
      { safe: true, mimeTypes: [MIME], createRenderer: () => new JobOutput(bacalhau) },
      RANK
    );
    rendermime.addFactory(
      { safe: true, mimeTypes: [MANY_MIME], createRenderer: () => new ManyJobsOutput(bacalhau) },
      RANK
    );
  }
};
