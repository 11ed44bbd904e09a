import * as React from 'react';
import { IExplanation } from '../api/types';
import { useBacalhau, useFeature, usePageVisible } from '../components/context';
import { readable } from '../format/text';
import { IJobEntry } from '../store/state';

/** The feature of nodes that say why a job waits. */
export const EXPLAIN = 'explain';

/** What other jobs hold changes without an event of this one, so it is asked again; no more often than this. */
export const EVERY_MS = 2000;

/** The reason in one line; empty where none came. Texts of other people are in it. */
export function summaryOf(explanation: IExplanation | null): string {
  const summary: unknown = explanation?.Summary;
  return typeof summary === 'string' ? readable(summary) : '';
}

/**
 * Ask for something now and every `EVERY_MS` after an answer, until the function that comes back is called. A failure
 * leaves what was known.
 */
export function askAgain<T>(ask: (signal: AbortSignal) => Promise<T>, take: (answer: T) => void): () => void {
  const controller = new AbortController();
  let timer: number | undefined;
  const once = async (): Promise<void> => {
    try {
      const answer = await ask(controller.signal);
      if (!controller.signal.aborted) {
        take(answer);
      }
    } catch {
      // The next one may come through; the panel says itself when nothing does.
    }
    if (!controller.signal.aborted) {
      timer = window.setTimeout(() => void once(), EVERY_MS);
    }
  };
  void once();
  return () => {
    controller.abort();
    window.clearTimeout(timer);
  };
}

/** Why a job waits; null while it does not, while nobody looks (`wanted`), and where the node can't say. */
export function useExplanation(entry: IJobEntry | undefined, wanted: boolean): IExplanation | null {
  const { api } = useBacalhau();
  const explains = useFeature(EXPLAIN);
  const seen = usePageVisible();
  const id = entry?.id ?? '';
  const asks = wanted && seen && explains && entry?.state === 'Queued';
  const [explanation, setExplanation] = React.useState<IExplanation | null>(null);
  React.useEffect(() => {
    setExplanation(null);
    return asks ? askAgain(signal => api.jobs.explain(id, signal), setExplanation) : undefined;
  }, [api, asks, id]);
  return asks ? explanation : null;
}
