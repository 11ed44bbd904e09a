import { ILabShell, ILayoutRestorer, JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { ICommandPalette, MainAreaWidget, WidgetTracker } from '@jupyterlab/apputils';
import { ILauncher } from '@jupyterlab/launcher';
import { ToolbarButton } from '@jupyterlab/ui-components';
import { CommandIDs, textOf } from '../commands';
import { shortId } from '../format/units';
import { bacalhauIcon } from '../icon';
import { JobWidget, PanelWidget } from '../panel/widgets';
import { IBacalhau } from '../tokens';

/** The side panel, and jobs in places of their own. */
export const panel: JupyterFrontEndPlugin<void> = {
  id: 'bacalhau-jupyter:panel',
  description: 'The Bacalhau side panel.',
  autoStart: true,
  requires: [IBacalhau],
  optional: [ILabShell, ILayoutRestorer, ICommandPalette, ILauncher],
  activate: (
    app: JupyterFrontEnd,
    bacalhau: IBacalhau,
    labShell: ILabShell | null,
    restorer: ILayoutRestorer | null,
    palette: ICommandPalette | null,
    launcher: ILauncher | null
  ): void => {
    const { trans } = bacalhau;
    if (labShell === null) {
      // Notebook 7 has one document a page, and no place beside it.
      bacalhau.host.openJob = undefined;
    }
    const widget = new PanelWidget(bacalhau);
    restorer?.add(widget, widget.id);
    app.shell.add(widget, 'left', { rank: 550, type: 'Bacalhau' });

    const tracker = new WidgetTracker<MainAreaWidget<JobWidget>>({ namespace: 'bacalhau-job' });
    if (restorer) {
      void restorer.restore(tracker, {
        command: CommandIDs.openJob,
        args: open => ({ job: open.content.job }),
        name: open => open.content.job
      });
    }
    const show = (): void => {
      if (labShell) {
        app.shell.activateById(widget.id);
      } else {
        // Notebook 7 hides its side areas; this one command shows them.
        void app.commands
          .execute('application:toggle-sidebar', { side: 'left', id: widget.id, title: '' })
          .catch(() => app.shell.activateById(widget.id));
      }
    };
    app.commands.addCommand(CommandIDs.openPanel, {
      label: args => (args.tile ? trans.__('Bacalhau jobs') : trans.__('Show the Bacalhau panel')),
      caption: trans.__('Jobs, nodes, data and connections'),
      icon: bacalhauIcon,
      execute: () => {
        if (!widget.isVisible || labShell) {
          show();
        }
      }
    });
    app.commands.addCommand(CommandIDs.showTab, {
      label: args => {
        const shown = bacalhau.tabs.all.get().find(tab => tab.id === args.tab);
        return trans.__('Show %1', shown?.label ?? '');
      },
      isVisible: args => bacalhau.tabs.all.get().some(tab => tab.id === args.tab),
      execute: async args => {
        bacalhau.tab.set(textOf(args.tab));
        await app.commands.execute(CommandIDs.openPanel);
      }
    });
    app.commands.addCommand(CommandIDs.openJob, {
      label: trans.__('Open the job in a tab of its own'),
      isEnabled: args => Boolean(args.job || bacalhau.selected.get()),
      execute: args => {
        const job = textOf(args.job) || bacalhau.selected.get();
        let open = tracker.find(known => known.content.job === job);
        if (open === undefined) {
          open = new MainAreaWidget({ content: new JobWidget(bacalhau, job) });
          open.id = `bacalhau-job-${job}`;
          open.title.label = shortId(job);
          open.title.icon = bacalhauIcon;
          app.shell.add(open, 'main');
          void tracker.add(open);
        }
        app.shell.activateById(open.id);
      }
    });
    launcher?.add({ command: CommandIDs.openPanel, category: 'Other', rank: 10, args: { tile: true } });
    if (labShell === null) {
      // Neither Notebook's pages nor its list of files have a side bar with our icon.
      const button = new ToolbarButton({
        icon: bacalhauIcon,
        tooltip: trans.__('Show the Bacalhau panel'),
        onClick: () => void app.commands.execute(CommandIDs.openPanel)
      });
      button.id = 'bacalhau-open';
      app.shell.add(button, 'top', { rank: 900 });
    }
    const category = trans.__('Bacalhau');
    palette?.addItem({ command: CommandIDs.openPanel, category });
    palette?.addItem({ command: CommandIDs.openJob, category });
    // A tab that another plugin adds gets its palette entry by itself.
    const offered = new Set<string>();
    const offer = (): void => {
      for (const { id } of bacalhau.tabs.all.get()) {
        if (!offered.has(id)) {
          offered.add(id);
          palette?.addItem({ command: CommandIDs.showTab, category, args: { tab: id } });
        }
      }
    };
    bacalhau.tabs.all.subscribe(offer);
    offer();
  }
};
