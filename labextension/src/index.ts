import { JupyterFrontEndPlugin } from '@jupyterlab/application';
import { adopt } from './plugins/adopt';
import { cluster } from './plugins/cluster';
import { core } from './plugins/core';
import { data } from './plugins/data';
import { jobs } from './plugins/jobs';
import { nodes } from './plugins/nodes';
import { menus } from './plugins/menus';
import { notebooks } from './plugins/notebooks';
import { notify } from './plugins/notify';
import { panel } from './plugins/panel';
import { renderer } from './plugins/renderer';
import { results } from './plugins/results';
import { status } from './plugins/status';

export { IBacalhau } from './tokens';

/** One plugin per concern. A new one is a file in `plugins/` and a line here. */
const plugins: JupyterFrontEndPlugin<unknown>[] = [
  core,
  panel,
  jobs,
  nodes,
  data,
  cluster,
  status,
  notify,
  renderer,
  adopt,
  results,
  menus,
  notebooks
];

export default plugins;
