import { refreshIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { IconButton } from '../components/basics';
import { useBacalhau } from '../components/context';
import { outcomeLabel } from '../format/outcomes';
import { readable } from '../format/text';
import { Outcome, OUTCOMES } from '../store/outcome';
import { countText, IFilter } from './filter';

/** What the list is narrowed to, and how much of it is left. */
export function FilterBar(props: {
  filter: IFilter;
  onChange: (filter: IFilter) => void;
  namespaces: readonly string[];
  notebooks: readonly string[];
  shown: number;
  total: number;
}): JSX.Element {
  const { trans, sync } = useBacalhau();
  const { filter, onChange } = props;
  return (
    <div className="jp-Bacalhau-filter" role="search">
      <input
        className="jp-mod-styled"
        type="search"
        placeholder={trans.__('Filter: text or label=value')}
        aria-label={trans.__('Filter jobs by name, notebook, error or label')}
        value={filter.text}
        onChange={event => onChange({ ...filter, text: event.target.value })}
      />
      <select
        aria-label={trans.__('Filter jobs by outcome')}
        value={filter.outcomes[0] ?? ''}
        onChange={event =>
          onChange({ ...filter, outcomes: event.target.value ? [event.target.value as Outcome] : [] })
        }
      >
        <option value="">{trans.__('All jobs')}</option>
        {OUTCOMES.map(outcome => (
          <option key={outcome} value={outcome}>
            {outcomeLabel(outcome, trans)}
          </option>
        ))}
      </select>
      <IconButton
        icon={refreshIcon}
        label={trans.__('Read the list again')}
        onClick={() => void sync.refresh()}
      />
      <span className="jp-Bacalhau-count" role="status">
        {countText(props.shown, props.total, trans)}
      </span>
      <Choice
        label={trans.__('Filter jobs by notebook')}
        all={trans.__('All notebooks')}
        names={props.notebooks}
        least={1}
        value={filter.notebook ?? ''}
        onChange={notebook => onChange({ ...filter, notebook })}
      />
      <Choice
        label={trans.__('Filter jobs by namespace')}
        all={trans.__('All namespaces')}
        names={props.namespaces}
        least={2}
        value={filter.namespace ?? ''}
        onChange={namespace => onChange({ ...filter, namespace })}
      />
    </div>
  );
}

/** One of some names, or all; nothing where there is no choice. */
function Choice(props: {
  label: string;
  all: string;
  names: readonly string[];
  least: number;
  value: string;
  onChange: (name: string) => void;
}): JSX.Element | null {
  if (props.names.length < props.least && !props.value) {
    return null;
  }
  return (
    <select
      aria-label={props.label}
      title={props.value ? readable(props.value) : undefined}
      value={props.value}
      onChange={event => props.onChange(event.target.value)}
    >
      <option value="">{props.all}</option>
      {props.names.map(name => (
        <option key={name} value={name}>
          {readable(name)}
        </option>
      ))}
    </select>
  );
}
