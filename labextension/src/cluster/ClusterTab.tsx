import * as React from 'react';
import { EmptyNote, FactList } from '../components/basics';
import { useBacalhau, useFeature, useObservable, usePageVisible } from '../components/context';
import { HealthNote } from '../components/HealthNote';
import { IStreamEvent } from '../api/types';
import { VERSION } from '../version';
import { ConnectionList } from './ConnectionList';
import { Connections, sourceText, versionNotes } from './connections';
import { DiskUse } from './DiskUse';
import { LinkSection } from './LinkSection';

const ASK_MS = 5000;

/** Which cluster this is, how it is, and what it keeps. Our own page belongs to one node: it has no `connections`. */
export function ClusterTab(props: { connections: Connections | null }): JSX.Element {
  const { connections } = props;
  const { sync, trans } = useBacalhau();
  const inFront = usePageVisible();
  const generation = useObservable(sync.generation);
  const canCleanUp = useFeature('clean-up');
  const hasEvents = useFeature('events');
  const tellsOfLink = useFeature('cluster');
  React.useEffect(() => {
    if (!inFront) {
      return undefined;
    }
    const release = sync.acquire('active');
    const saw = (event: IStreamEvent): void => {
      if (event.topic === 'Node' && event.node === sync.node.get()?.NodeID) {
        void sync.readNode();
      }
    };
    sync.watchers.add(saw);
    void sync.readNode();
    void connections?.read();
    // Where no stream ends at a switch that was made elsewhere, the tab asks.
    const timer = hasEvents ? null : window.setInterval(() => void sync.check(), ASK_MS);
    return () => {
      if (timer !== null) {
        window.clearInterval(timer);
      }
      sync.watchers.delete(saw);
      release();
    };
  }, [sync, connections, inFront, generation, hasEvents]);
  return (
    <div className="jp-Bacalhau-cluster">
      <HealthNote />
      <section aria-label={trans.__('Connected cluster')}>
        <h3>{trans.__('Connected to')}</h3>
        <Facts />
      </section>
      {connections && (
        <section aria-label={trans.__('Connections')}>
          <h3>{trans.__('Connections')}</h3>
          <ConnectionList connections={connections} />
        </section>
      )}
      {tellsOfLink && (
        <section aria-label={trans.__('Other nodes')}>
          <h3>{trans.__('Other nodes')}</h3>
          <LinkSection />
        </section>
      )}
      {canCleanUp && (
        <section aria-label={trans.__('Disk')}>
          <h3>{trans.__('Disk of the connected node')}</h3>
          <DiskUse />
        </section>
      )}
    </div>
  );
}

function Facts(): JSX.Element {
  const { sync, trans } = useBacalhau();
  const health = useObservable(sync.health);
  const node = useObservable(sync.node);
  if (health.kind === 'unknown') {
    return <EmptyNote>{trans.__('Loading…')}</EmptyNote>;
  }
  const status = 'status' in health ? health.status : null;
  const facts: [string, string][] = [
    ...(status
      ? ([
          [trans.__('Address'), status.cluster?.url ?? trans.__('none')],
          [trans.__('Chosen by'), sourceText(status, trans)]
        ] as [string, string][])
      : []),
    [trans.__('Node'), node?.NodeID ?? ''],
    [trans.__('Bacalhau'), status?.node_version ?? ''],
    [trans.__('bacalhau-jupyter'), node?.JupyterVersion ?? ''],
    [trans.__('Jupyter server'), status?.repo ? `bacalhau-jupyter ${status.version}` : ''],
    [trans.__('This page'), `bacalhau-jupyter ${VERSION}`]
  ];
  const notes = status ? versionNotes(status, node, VERSION, trans) : [];
  return (
    <>
      <FactList facts={facts} />
      {notes.map(note => (
        <p key={note} className="jp-Bacalhau-hint">
          {note}
        </p>
      ))}
    </>
  );
}
