import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { CommandIDs, textOf } from '../commands';
import { canRerun, canStop, code, hasResults, rerun, show, stop } from '../jobs/actions';
import { JobsTab } from '../jobs/JobsTab';
import { IJobEntry } from '../store/state';
import { DetailsPart, IBacalhau } from '../tokens';

/** The Jobs tab and the commands about jobs. */
export const jobs: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:jobs',
  description: 'The Jobs tab of the Bacalhau panel, and its commands.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, palette: ICommandPalette | null): void => {
    const { trans } = bacalhau;
    bacalhau.tabs.add({ id: 'jobs', label: trans.__('Jobs'), rank: 10, Component: JobsTab });

    const idOf = (args: ReadonlyPartialJSONObject): string => textOf(args.job) || bacalhau.selected.get();
    const entryOf = (args: ReadonlyPartialJSONObject): IJobEntry | undefined =>
      bacalhau.store.snapshot().jobs.get(idOf(args));
    const add = (
      id: string,
      label: string,
      isEnabled: (args: ReadonlyPartialJSONObject) => boolean,
      execute: (job: string) => unknown
    ): void => {
      app.commands.addCommand(id, { label, isEnabled, execute: args => execute(idOf(args)) });
      palette?.addItem({ command: id, category: trans.__('Bacalhau') });
    };
    const part = (wanted: DetailsPart) => async (job: string) => {
      show(bacalhau, job, wanted);
      await app.commands.execute(CommandIDs.openPanel);
    };
    const chosen = (args: ReadonlyPartialJSONObject): boolean => idOf(args) !== '';

    add(
      CommandIDs.refresh,
      trans.__('Read the list of jobs again'),
      () => true,
      () => bacalhau.sync.refresh()
    );
    add(CommandIDs.showDetails, trans.__('Show the details of the job'), chosen, part('timeline'));
    add(CommandIDs.showLogs, trans.__('Show the logs of the job'), chosen, part('logs'));
    add(
      CommandIDs.showResults,
      trans.__('Show the results of the job'),
      args => hasResults(entryOf(args)),
      part('results')
    );
    add(
      CommandIDs.stopJob,
      trans.__('Stop the job'),
      args => canStop(entryOf(args)),
      job => stop(bacalhau, job)
    );
    add(
      CommandIDs.rerunJob,
      trans.__('Run the job again'),
      args => canRerun(entryOf(args)),
      job => rerun(bacalhau, job)
    );
    add(CommandIDs.copyId, trans.__('Copy the id of the job'), chosen, job => bacalhau.host.copy(job));
    if (bacalhau.host.insertCode) {
      add(CommandIDs.insertCode, trans.__('Insert code for the job'), chosen, job =>
        bacalhau.host.insertCode?.(code(job))
      );
    }
    const refreshEnabled = (): void => {
      for (const id of [
        CommandIDs.stopJob,
        CommandIDs.rerunJob,
        CommandIDs.showResults,
        CommandIDs.openJob
      ]) {
        if (app.commands.hasCommand(id)) {
          app.commands.notifyCommandChanged(id);
        }
      }
    };
    bacalhau.selected.subscribe(refreshEnabled);
  }
};
