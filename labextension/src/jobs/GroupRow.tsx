import { caretDownIcon, caretRightIcon } from '@jupyterlab/ui-components';
import * as React from 'react';
import { useBacalhau, useStore } from '../components/context';
import { outcomeLabel } from '../format/outcomes';
import { readable } from '../format/text';
import { ListRow, tally } from './rows';
import { metaOf, TITLE } from './title';

/** The heading of the jobs of one run of a cell: what they are called, and how many stand how. */
export function GroupRow(props: { row: ListRow & { kind: 'group' } }): JSX.Element {
  const { trans } = useBacalhau();
  const { row } = props;
  const jobs = useStore(state => state.jobs);
  const counts = tally(row.ids, jobs);
  const first = jobs.get(row.ids[0] ?? '');
  const name = first ? readable(metaOf(first.job, TITLE)) : '';
  const Caret = row.open ? caretDownIcon : caretRightIcon;
  return (
    <div className="jp-Bacalhau-job jp-Bacalhau-group">
      <div className="jp-Bacalhau-job-line">
        <Caret.react tag="span" elementSize="small" aria-hidden="true" />
        <span className="jp-Bacalhau-job-name" title={name}>
          {name}
        </span>
        <span className="jp-Bacalhau-age">{trans.__('%1 jobs', row.ids.length)}</span>
      </div>
      <div className="jp-Bacalhau-job-line jp-Bacalhau-job-second">
        {counts.map(([outcome, count]) => (
          <span key={outcome} className="jp-Bacalhau-badge" data-outcome={outcome}>
            {`${count} ${outcomeLabel(outcome, trans).toLowerCase()}`}
          </span>
        ))}
      </div>
    </div>
  );
}
