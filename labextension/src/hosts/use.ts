import * as React from 'react';
import { ApiError } from '../api/errors';
import { IHosts } from '../api/hosts';
import { useBacalhau, useFeature, useObservable, usePageVisible } from '../components/context';
import { NodesWatch } from '../nodes/watch';
import { Observable } from '../store/signal';

/** While something is copied to a host, it is looked at so often. */
const PROGRESS_MS = 2000;

export interface IHostsView {
  /** Whether the connected node has hosts at all. */
  readonly offered: boolean;
  /** Null until they are read. */
  readonly hosts: IHosts | null;
  readonly problem: ApiError | null;
  /** Read them again. */
  readonly read: () => Promise<void>;
}

/** The Docker hosts of the connected node, read again after news of nodes while the page is in front. */
export function useHosts(): IHostsView {
  const app = useBacalhau();
  const offered = useFeature('hosts');
  const inFront = usePageVisible();
  const { list, watch } = React.useMemo(() => {
    const list = new Observable<IHosts | null>(null);
    const load = async (signal: AbortSignal): Promise<void> => {
      const hosts = await app.api.hosts.list(signal);
      if (!signal.aborted) {
        list.set(hosts);
      }
    };
    return { list, watch: new NodesWatch(app, load) };
  }, [app]);
  const generation = useObservable(app.sync.generation);
  React.useEffect(() => list.set(null), [list, generation]);
  React.useEffect(() => (offered && inFront ? watch.start() : undefined), [watch, offered, inFront]);
  const hosts = useObservable(list);
  const problem = useObservable(watch.problem);
  // How far a copy is, no event tells.
  const isMoving = (hosts?.Items ?? []).some(host => Boolean(host?.Progress));
  React.useEffect(() => {
    if (!offered || !inFront || !isMoving) {
      return undefined;
    }
    const timer = window.setTimeout(() => void watch.read(), PROGRESS_MS);
    return () => window.clearTimeout(timer);
  }, [watch, offered, inFront, isMoving, hosts]);
  const read = React.useCallback(() => watch.read(), [watch]);
  return { offered, hosts: offered ? hosts : null, problem: offered ? problem : null, read };
}
