import { JupyterFrontEnd, JupyterFrontEndPlugin } from '@jupyterlab/application';
import { Clipboard, Dialog, showDialog, showErrorMessage } from '@jupyterlab/apputils';
import { ISettingRegistry } from '@jupyterlab/settingregistry';
import { ITranslator, nullTranslator } from '@jupyterlab/translation';
import { Api } from '../api/client';
import { asApiError } from '../api/errors';
import { JupyterTransport } from '../api/jupyter';
import { CommandIDs } from '../commands';
import { EventStream } from '../events/stream';
import { IHost } from '../host';
import { IFilter, NO_FILTER } from '../jobs/filter';
import { DEFAULT_SETTINGS, ISettings, readSettings } from '../settings';
import { Observable } from '../store/signal';
import { Store } from '../store/store';
import { Sync } from '../store/sync';
import { IBacalhau, IDetails, Tabs } from '../tokens';
import { VERSION } from '../version';

export const CORE_ID = 'bacalhau-jupyter:plugin';

/** Makes the parts that all others share, and follows the settings. */
export const core: JupyterFrontEndPlugin<IBacalhau> = {
  id: CORE_ID,
  description: 'The API, the event stream and the state of the Bacalhau front end.',
  autoStart: true,
  provides: IBacalhau,
  optional: [ITranslator, ISettingRegistry],
  activate: (
    app: JupyterFrontEnd,
    translator: ITranslator | null,
    registry: ISettingRegistry | null
  ): IBacalhau => {
    const trans = (translator ?? nullTranslator).load('bacalhau_jupyter');
    const api = new Api(new JupyterTransport(app.serviceManager.serverSettings));
    const events = new EventStream(api.transport);
    const store = new Store();
    const settings = new Observable<ISettings>(DEFAULT_SETTINGS);
    window.addEventListener('online', () => events.wake());
    if (registry) {
      void follow(registry, settings);
    }
    return {
      api,
      events,
      store,
      sync: new Sync(api, events, store, VERSION),
      trans,
      host: labHost(app, label => trans.__(label)),
      tabs: new Tabs(),
      settings,
      tab: new Observable<string>('jobs'),
      filter: new Observable<IFilter>(NO_FILTER),
      selected: new Observable<string>(''),
      picks: new Observable<ReadonlySet<string>>(new Set()),
      details: new Observable<IDetails | null>(null)
    };
  }
};

async function follow(registry: ISettingRegistry, settings: Observable<ISettings>): Promise<void> {
  try {
    const loaded = await registry.load(CORE_ID);
    const take = (): void => settings.set(readSettings(loaded.composite));
    loaded.changed.connect(take);
    take();
  } catch (reason) {
    console.warn('bacalhau: settings can’t be read, defaults apply', reason);
  }
}

function labHost(app: JupyterFrontEnd, translate: (text: string) => string): IHost {
  return {
    confirm: async (title, body, accept) => {
      const buttons = [
        Dialog.cancelButton({ label: translate('Cancel') }),
        Dialog.warnButton({ label: accept })
      ];
      return (await showDialog({ title, body, buttons, defaultButton: 1 })).button.accept;
    },
    showError: (title, reason) => {
      const error = asApiError(reason);
      void showErrorMessage(title, error.hint ? `${error.message}\n${error.hint}` : error.message);
    },
    copy: text => Clipboard.copyToSystem(text),
    openPanel: () => void app.commands.execute(CommandIDs.openPanel),
    openJob: job => void app.commands.execute(CommandIDs.openJob, { job })
  };
}
