import * as React from 'react';
import { TabBar } from '../components/basics';
import { useBacalhau, useObservable } from '../components/context';

/** The tabs that are registered, and the one that is chosen. */
export function Panel(): JSX.Element {
  const { tabs, tab, trans } = useBacalhau();
  const all = useObservable(tabs.all);
  const chosen = useObservable(tab);
  const current = all.find(known => known.id === chosen) ?? all[0];
  if (current === undefined) {
    return <div className="jp-Bacalhau-fill" />;
  }
  const { Component } = current;
  return (
    <div className="jp-Bacalhau-fill">
      {all.length > 1 && (
        <TabBar
          tabs={all}
          current={current.id}
          onSelect={id => tab.set(id)}
          label={trans.__('Parts of the Bacalhau panel')}
          idBase="jp-bacalhau"
        />
      )}
      <div
        className="jp-Bacalhau-fill"
        id="jp-bacalhau-panel"
        role={all.length > 1 ? 'tabpanel' : 'region'}
        aria-label={all.length > 1 ? undefined : current.label}
        aria-labelledby={all.length > 1 ? `jp-bacalhau-tab-${current.id}` : undefined}
      >
        <Component />
      </div>
    </div>
  );
}
