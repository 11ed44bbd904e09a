import * as React from 'react';
import { usePageVisible } from './context';

type Callback = (visible: boolean) => void;

const callbacks = new WeakMap<Element, Callback>();
let shared: IntersectionObserver | null = null;

/** One observer for all outputs of the page. */
function observer(): IntersectionObserver {
  shared ??= new IntersectionObserver(
    entries => entries.forEach(entry => callbacks.get(entry.target)?.(entry.isIntersecting)),
    { rootMargin: '200px' }
  );
  return shared;
}

/** Whether an element is on screen, or nearly, and the page in front. */
export function useVisible(element: React.RefObject<Element>): boolean {
  const [near, setNear] = React.useState(false);
  const inFront = usePageVisible();
  React.useEffect(() => {
    const node = element.current;
    if (node === null) {
      return undefined;
    }
    if (typeof IntersectionObserver === 'undefined') {
      setNear(true);
      return undefined;
    }
    callbacks.set(node, setNear);
    observer().observe(node);
    return () => {
      callbacks.delete(node);
      observer().unobserve(node);
    };
  }, [element]);
  return near && inFront;
}
