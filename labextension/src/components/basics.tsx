import { LabIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { asApiError } from '../api/errors';
import { stateSign } from '../format/states';
import { readable } from '../format/text';
import { keyInTabs } from './keys';

/** The state in a word and a sign: never by colour alone. */
export function StateBadge(props: { state: string; label: string; title?: string }): JSX.Element {
  return (
    <span
      className="jp-Bacalhau-badge"
      data-state={props.state}
      data-outcome={props.state === 'Failed' ? 'failed' : undefined}
      title={props.title}
    >
      <span className="jp-Bacalhau-badge-sign" aria-hidden="true">
        {stateSign(props.state)}
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
    <button type="button" className="jp-Bacalhau-button" onClick={() => props.onClick()}>
      {props.label}
    </button>
  );
}

/** What an input may have beside the members of `TextField`. */
export type InputAttributes = Omit<React.InputHTMLAttributes<HTMLInputElement>, 'id' | 'value' | 'onChange'>;

/** A line of text in a form, with its label. */
export function TextField(
  props: InputAttributes & {
    id: string;
    label: string;
    value: string;
    onText: (text: string) => void;
  }
): JSX.Element {
  const { label, onText, ...rest } = props;
  return (
    <label htmlFor={props.id}>
      {label}
      <input
        className="jp-mod-styled"
        type="text"
        spellCheck={false}
        autoComplete="off"
        onChange={event => onText(event.target.value)}
        {...rest}
      />
    </label>
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
    const tab = tabs[keyInTabs(event.key, at, tabs.length) ?? -1];
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
