import * as React from 'react';
import { INodeInfo } from '../api/types';
import { IBacalhau } from '../tokens';
import { Observable } from '../store/signal';
import { IState } from '../store/state';

export const BacalhauContext = React.createContext<IBacalhau | null>(null);

/** Whether the page is in front: what nobody sees needs no news. */
export function usePageVisible(): boolean {
  return React.useSyncExternalStore(
    changed => {
      document.addEventListener('visibilitychange', changed);
      return () => document.removeEventListener('visibilitychange', changed);
    },
    () => document.visibilityState !== 'hidden'
  );
}

/** The shared parts; only below a `BacalhauContext.Provider`. */
export function useBacalhau(): IBacalhau {
  const app = React.useContext(BacalhauContext);
  if (app === null) {
    throw new Error('this component needs a BacalhauContext');
  }
  return app;
}

/** Follow a part of the state. `select` must return the same object as long as nothing changed. */
export function useStore<T>(select: (state: IState) => T): T {
  const { store } = useBacalhau();
  return React.useSyncExternalStore(store.subscribe, () => select(store.snapshot()));
}

/** Follow a value. */
export function useObservable<T>(observable: Observable<T>): T {
  return React.useSyncExternalStore(observable.subscribe, observable.get);
}

/** Whether the connected node has a feature that the official API lacks, such as `browse-data`. */
export function useFeature(name: string): boolean {
  return hasFeature(useObservable(useBacalhau().sync.node), name);
}

export function hasFeature(node: INodeInfo | null, name: string): boolean {
  return node?.Features?.includes(name) ?? false;
}

/** Do something with the API while this is on screen, and again when `key` changes. */
export function useAsync<T>(
  load: (signal: AbortSignal) => Promise<T>,
  key: unknown
): { value: T | undefined; error: unknown } {
  const [found, setFound] = React.useState<{ value: T | undefined; error: unknown }>({
    value: undefined,
    error: undefined
  });
  const latest = React.useRef(load);
  latest.current = load;
  React.useEffect(() => {
    const controller = new AbortController();
    latest.current(controller.signal).then(
      value => !controller.signal.aborted && setFound({ value, error: undefined }),
      (error: unknown) => !controller.signal.aborted && setFound(before => ({ value: before.value, error }))
    );
    return () => controller.abort();
  }, [key]);
  return found;
}
