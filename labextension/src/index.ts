import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { core } from './plugins/core';
import { jobs } from './plugins/jobs';
import { notify } from './plugins/notify';
import { panel } from './plugins/panel';
import { status } from './plugins/status';

export { IBacalhau } from './tokens';

/** One plugin per concern. A new one is a file in `plugins/` and a line here. */
const plugins: JupyterFrontEndPlugin<unknown>[] = [core, panel, jobs, status, notify];

export default plugins;
