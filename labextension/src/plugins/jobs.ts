import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette } from '@jupyterlab/apputils';
import { ReadonlyPartialJSONObject } from '@lumino/coreutils';
import { CommandIDs, textOf } from '../commands';
import { hasFeature } from '../components/context';
import { canRerun, canStop, code, hasResults, show } from '../jobs/actions';
import { DELETE_JOBS, removeAll, rerun, rerunAll, stopAll } from '../jobs/bulk';
import { JobsTab } from '../jobs/JobsTab';
import { IJobEntry } from '../store/state';
import { DetailsPart, IBacalhau } from '../tokens';

type Args = ReadonlyPartialJSONObject;

/** The list of jobs; whatever is below it in the page has the menu of jobs. */
const LIST = '.jp-Bacalhau-jobs';

/** The Jobs tab, the commands about jobs, and their context menu. */
export const jobs: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:jobs',
  description: 'The Jobs tab of the Bacalhau panel, and its commands.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ICommandPalette],
  activate: (app: JupyterFrontEnd, bacalhau: IBacalhau, palette: ICommandPalette | null): void => {
    const { trans, store, host } = bacalhau;
    bacalhau.tabs.add({ id: 'jobs', label: trans.__('Jobs'), rank: 10, Component: JobsTab });

    const entryOf = (id: string): IJobEntry | undefined => store.snapshot().jobs.get(id);
    /** The jobs that a command is for: the one it is given, else what is picked, else the active one. */
    const meant = (args: Args): string[] => {
      const named = textOf(args.job);
      const picks = [...bacalhau.picks.get()];
      if (named) {
        return [named];
      }
      return (picks.length > 0 ? picks : [bacalhau.selected.get()]).filter(id => entryOf(id) !== undefined);
    };
    const one = (args: Args): string => (meant(args).length === 1 ? (meant(args)[0] ?? '') : '');
    const add = (
      id: string,
      label: string | ((args: Args) => string),
      isEnabled: (args: Args) => boolean,
      execute: (args: Args) => unknown,
      inMenu = true
    ): void => {
      app.commands.addCommand(id, { label, isEnabled, execute });
      palette?.addItem({ command: id, category: trans.__('Bacalhau') });
      if (inMenu) {
        app.contextMenu.addItem({ command: id, selector: LIST, rank: app.contextMenu.menu.items.length });
      }
    };
    const part = (shown: DetailsPart) => async (args: Args) => {
      show(bacalhau, one(args), shown);
      await app.commands.execute(CommandIDs.openPanel);
    };
    const some = (args: Args, can: (entry: IJobEntry | undefined) => boolean): boolean =>
      meant(args).some(id => can(entryOf(id)));
    /** The words for one job, or for as many as are picked. */
    const counted = (single: string, several: (count: number) => string) => (args: Args) => {
      const count = meant(args).length;
      return count > 1 ? several(count) : single;
    };
    const isOne = (args: Args): boolean => one(args) !== '';

    add(
      CommandIDs.refresh,
      trans.__('Read the list of jobs again'),
      () => true,
      () => bacalhau.sync.refresh(),
      false
    );
    add(CommandIDs.showDetails, trans.__('Show the details of the job'), isOne, part('timeline'));
    add(CommandIDs.showLogs, trans.__('Show the logs of the job'), isOne, part('logs'));
    add(
      CommandIDs.showResults,
      trans.__('Show the results of the job'),
      args => hasResults(entryOf(one(args))),
      part('results')
    );
    add(CommandIDs.showCode, trans.__('Show the code of the job'), isOne, part('code'));
    add(
      CommandIDs.stopJob,
      counted(trans.__('Stop the job'), count => trans.__('Stop %1 jobs', count)),
      args => some(args, canStop),
      args => stopAll(bacalhau, meant(args))
    );
    add(
      CommandIDs.rerunJob,
      counted(trans.__('Run the job again'), count => trans.__('Run %1 jobs again', count)),
      args => some(args, canRerun),
      args => (isOne(args) ? rerun(bacalhau, one(args)) : rerunAll(bacalhau, meant(args)))
    );
    add(
      CommandIDs.deleteJob,
      counted(trans.__('Delete the job…'), count => trans.__('Delete %1 jobs…', count)),
      args => some(args, canRerun) && hasFeature(bacalhau.sync.node.get(), DELETE_JOBS),
      args => removeAll(bacalhau, meant(args))
    );
    add(
      CommandIDs.insertCode,
      trans.__('Insert code for the job'),
      args => isOne(args) && host.insertCode !== undefined,
      args => host.insertCode?.(code(one(args)))
    );
    add(CommandIDs.copyId, trans.__('Copy the ID of the job'), isOne, args => host.copy(one(args)));

    const refreshEnabled = (): void => {
      for (const id of [
        CommandIDs.stopJob,
        CommandIDs.rerunJob,
        CommandIDs.deleteJob,
        CommandIDs.showResults,
        CommandIDs.openJob
      ]) {
        if (app.commands.hasCommand(id)) {
          app.commands.notifyCommandChanged(id);
        }
      }
    };
    bacalhau.selected.subscribe(refreshEnabled);
    bacalhau.picks.subscribe(refreshEnabled);
  }
};
