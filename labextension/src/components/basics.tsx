import { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { asApiError } from '../api/errors';
import { isOver } from '../api/types';
import { duration } from '../format/units';
import { IJobEntry } from '../store/state';
import { readable } from '../format/text';

/** The state in a word and a sign: never by colour alone. */
export function StateBadge(props: { state: string; label: string }): JSX.Element {
  return (
    <span className="jp-Bacalhau-badge" data-state={props.state}>
      <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
        {SIGNS[props.state] ?? '○'}
      </span>
      {props.label}
    </span>
  );
}

/** Names and values below each other; a name without a value is left out. */
export function FactList(props: { facts: readonly [string, string][] }): JSX.Element {
  return (
    <dl className="jp-Bacalhau-facts">
      {props.facts
        .filter(([, value]) => value !== '')
        .map(([name, value]) => (
          <React.Fragment key={name}>
            <dt>{name}</dt>
            <dd>{readable(value)}</dd>
          </React.Fragment>
        ))}
    </dl>
  );
}

const SIGNS: Record<string, string> = {
  Pending: '◌',
  Queued: '◔',
  Running: '▶',
  Completed: '✓',
  Failed: '✕',
  Stopped: '■'
};

/** How long a job took, or takes: only a job that is not over makes its row tick. */
export function Duration(props: { entry: IJobEntry }): JSX.Element {
  const { created, changed, state } = props.entry;
  const over = isOver(state);
  const [now, setNow] = React.useState(() => Date.now());
  React.useEffect(() => {
    if (!over) {
      const timer = window.setInterval(() => setNow(Date.now()), 1000);
      return () => window.clearInterval(timer);
    }
    return undefined;
  }, [over]);
  const ms = Math.max(0, (over ? changed : now) - created);
  return <span className="jp-Bacalhau-duration">{duration(ms)}</span>;
}

/** A button with an icon and a name for those who don't see it. */
export function IconButton(props: {
  icon: LabIcon;
  label: string;
  onClick: () => void;
  tabIndex?: number;
  pressed?: boolean;
}): JSX.Element {
  const { icon: Icon } = props;
  return (
    <button
      type="button"
      className="jp-Bacalhau-iconButton"
      title={props.label}
      aria-label={props.label}
      aria-pressed={props.pressed}
      tabIndex={props.tabIndex}
      onClick={event => {
        event.stopPropagation();
        props.onClick();
      }}
    >
      <Icon.react tag="span" elementSize="normal" aria-hidden="true" />
    </button>
  );
}

/** An error, with its hint. */
export function ErrorNote(props: {
  error: unknown;
  retry?: () => void;
  retryLabel?: string;
  children?: React.ReactNode;
}): JSX.Element {
  const error = asApiError(props.error);
  return (
    <div className="jp-Bacalhau-note" role="alert" data-kind="error">
      <p>{error.message}</p>
      {error.hint && <p className="jp-Bacalhau-hint">{error.hint}</p>}
      {props.retry && <NoteButton label={props.retryLabel ?? ''} onClick={props.retry} />}
      {props.children}
    </div>
  );
}

/** A way out, in a note. */
export function NoteButton(props: { label: string; onClick: () => void }): JSX.Element {
  return (
    <button
      type="button"
      className="jp-Dialog-button jp-mod-styled jp-mod-reject"
      onClick={() => props.onClick()}
    >
      {props.label}
    </button>
  );
}

/** A sentence where there is nothing to show. */
export function EmptyNote(props: { children: React.ReactNode }): JSX.Element {
  return (
    <div className="jp-Bacalhau-note" role="status">
      {props.children}
    </div>
  );
}

export interface ISubTab<T extends string> {
  readonly id: T;
  readonly label: string;
}

/** A row of tabs with the keyboard of the ARIA pattern: arrows move, only the chosen one is a tab stop. */
export function TabBar<T extends string>(props: {
  tabs: readonly ISubTab<T>[];
  current: T;
  onSelect: (id: T) => void;
  label: string;
  idBase: string;
}): JSX.Element {
  const { tabs, current, idBase } = props;
  const bar = React.useRef<HTMLDivElement>(null);
  const onKeyDown = (event: React.KeyboardEvent): void => {
    const at = tabs.findIndex(tab => tab.id === current);
    const steps: Record<string, number> = {
      ArrowRight: at + 1,
      ArrowLeft: at - 1,
      Home: 0,
      End: tabs.length - 1
    };
    const target = steps[event.key];
    const tab = target === undefined ? undefined : tabs[(target + tabs.length) % tabs.length];
    if (tab) {
      event.preventDefault();
      props.onSelect(tab.id);
      bar.current?.querySelector<HTMLElement>(`#${idBase}-tab-${tab.id}`)?.focus();
    }
  };
  return (
    <div ref={bar} className="jp-Bacalhau-tabs" role="tablist" aria-label={props.label} onKeyDown={onKeyDown}>
      {tabs.map(tab => (
        <button
          key={tab.id}
          id={`${idBase}-tab-${tab.id}`}
          type="button"
          role="tab"
          aria-selected={tab.id === current}
          aria-controls={`${idBase}-panel`}
          tabIndex={tab.id === current ? 0 : -1}
          onClick={() => props.onSelect(tab.id)}
        >
          {tab.label}
        </button>
      ))}
    </div>
  );
}

/** The name of a state in the reader's language. */
export function stateLabel(trans: { __(text: string): string }, state: string): string {
  switch (state) {
    case 'Pending':
      return trans.__('Pending');
    case 'Queued':
      return trans.__('Queued');
    case 'Running':
      return trans.__('Running');
    case 'Completed':
      return trans.__('Completed');
    case 'Failed':
      return trans.__('Failed');
    case 'Stopped':
      return trans.__('Stopped');
    default:
      return trans.__('Unknown');
  }
}
