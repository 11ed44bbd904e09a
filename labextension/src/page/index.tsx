import * as React from 'react';
import { createRoot } from 'react-dom/client';
import { Api } from '../api/client';
import { ClusterTab } from '../cluster/ClusterTab';
import { BacalhauContext, hasFeature } from '../components/context';
import { DataBrowser } from '../data/browser';
import { DataTab } from '../data/DataTab';
import { EventStream } from '../events/stream';
import { bacalhauIcon } from '../icon';
import { IFilter, NO_FILTER } from '../jobs/filter';
import { JobsTab } from '../jobs/JobsTab';
import { NodesTab } from '../nodes/NodesTab';
import { Panel } from '../panel/Panel';
import { ISettings } from '../settings';
import { Observable } from '../store/signal';
import { Store } from '../store/store';
import { Sync } from '../store/sync';
import { IBacalhau, IDetails, Tabs } from '../tokens';
import { VERSION } from '../version';
import { confirm, showError } from './dialog';
import { PageTransport } from './transport';
import { trans } from './words';

const SETTINGS: ISettings = { notifyWhenDone: false, showInStatusBar: false, logLines: 50000 };

function build(transport: PageTransport): IBacalhau {
  const api = new Api(transport);
  const events = new EventStream(transport);
  const store = new Store();
  window.addEventListener('online', () => events.hurry());
  return {
    api,
    events,
    store,
    sync: new Sync(api, events, store, VERSION),
    trans: trans as unknown as IBacalhau['trans'],
    host: { confirm, showError, copy: text => void navigator.clipboard.writeText(text) },
    tabs: new Tabs(),
    settings: new Observable<ISettings>(SETTINGS),
    tab: new Observable<string>('jobs'),
    filter: new Observable<IFilter>(NO_FILTER),
    selected: new Observable<string>(''),
    picks: new Observable<ReadonlySet<string>>(new Set()),
    details: new Observable<IDetails | null>(null)
  };
}

function addTabs(app: IBacalhau): void {
  const { tabs, sync } = app;
  tabs.add({ id: 'jobs', label: trans.__('Jobs'), rank: 10, Component: JobsTab });
  const form = new Observable<boolean>(false);
  tabs.add({
    id: 'nodes',
    label: trans.__('Nodes'),
    rank: 20,
    Component: () => <NodesTab form={form} />
  });
  tabs.add({
    id: 'cluster',
    label: trans.__('Cluster'),
    rank: 40,
    Component: () => <ClusterTab connections={null} />
  });
  const browser = new DataBrowser(app.api.data);
  const data = {
    id: 'data',
    label: trans.__('Data'),
    rank: 30,
    Component: () => <DataTab browser={browser} />
  };
  const offer = (): void => {
    if (hasFeature(sync.node.get(), 'browse-data')) {
      leave();
      tabs.add(data);
    }
  };
  const leave = sync.node.subscribe(offer);
}

function Page(props: { app: IBacalhau; logOut: () => void }): JSX.Element {
  return (
    <BacalhauContext.Provider value={props.app}>
      <header className="jp-Bacalhau-pageHead">
        <bacalhauIcon.react tag="span" elementSize="large" aria-hidden="true" />
        <h1>Bacalhau</h1>
        <button type="button" onClick={props.logOut}>
          {trans.__('Log out')}
        </button>
      </header>
      <main className="jp-Bacalhau">
        <Panel />
      </main>
    </BacalhauContext.Provider>
  );
}

const root = document.getElementById('root');
if (root !== null) {
  const transport = new PageTransport();
  const app = build(transport);
  addTabs(app);
  const logOut = (): void => {
    transport.logOut().catch((reason: unknown) => showError(trans.__('Logging out failed'), reason));
  };
  createRoot(root).render(<Page app={app} logOut={logOut} />);
}
