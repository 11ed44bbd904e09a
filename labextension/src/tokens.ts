import { TranslationBundle } from '@jupyterlab/translation';
import { LabIcon } from '@jupyterlab/ui-components';
import { Token } from '@lumino/coreutils';
import * as React from 'react';
import { Api } from './api/client';
import { EventStream } from './events/stream';
import { IHost } from './host';
import { IFilter } from './jobs/filter';
import { ISettings } from './settings';
import { Observable } from './store/signal';
import { Store } from './store/store';
import { Sync } from './store/sync';

/** A tab of the panel. Only what is registered is there. */
export interface ITab {
  /** Such as `jobs`; it is also part of element ids. */
  readonly id: string;
  readonly label: string;
  /** Where it stands among the others: Jobs 10, Nodes 20, Data 30, Cluster 40. */
  readonly rank: number;
  readonly icon?: LabIcon;
  /** Mounted only while the tab is on screen. */
  readonly Component: React.ComponentType;
}

/** The tabs of the panel. */
export class Tabs {
  readonly all = new Observable<readonly ITab[]>([]);

  /** Add a tab; call what comes back to take it away again. */
  add(tab: ITab): () => void {
    this.all.set([...this.all.get(), tab].sort((a, b) => a.rank - b.rank));
    return () => this.all.set(this.all.get().filter(other => other !== tab));
  }
}

/** What all parts of the front end share. There is one per page. */
export interface IBacalhau {
  readonly api: Api;
  readonly events: EventStream;
  readonly store: Store;
  readonly sync: Sync;
  readonly trans: TranslationBundle;
  readonly host: IHost;
  readonly tabs: Tabs;
  readonly settings: Observable<ISettings>;
  /** The tab that is shown. */
  readonly tab: Observable<string>;
  /** What the list of jobs is narrowed to. */
  readonly filter: Observable<IFilter>;
  /** The line of the list that is active: a job's id, or a heading's key; empty without one. */
  readonly selected: Observable<string>;
  /** The jobs that are picked, to do something with all of them. */
  readonly picks: Observable<ReadonlySet<string>>;
  /** The job whose details the panel shows, and which part of them; null shows the list. */
  readonly details: Observable<IDetails | null>;
}

export type DetailsPart = 'timeline' | 'executions' | 'logs' | 'code' | 'spec' | 'results';

export interface IDetails {
  readonly job: string;
  readonly part: DetailsPart;
}

export const IBacalhau = new Token<IBacalhau>(
  'bacalhau-jupyter:IBacalhau',
  'The API, the event stream, the state and the tabs of the Bacalhau front end.'
);
